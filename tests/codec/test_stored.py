"""Files without a model, and metadata in files of every kind."""

import io
import zlib

import numpy as np
import pytest
from PIL import Image

import irec
from irec.bitstream import LOSSLESS, STORED, compress_metadata, decompress_metadata, read_header
from irec.codec import StoredCodec, read_metadata
from irec.errors import BitstreamError, CorruptFileError, TruncatedFileError, UnsupportedImageError
from irec.metadata import Metadata
from tests.pictures import noise, picture

METADATA = Metadata(icc=b"profile" * 30, exif=b"MM\0*\0\0\0\x08\0\0", xmp=b"<x/>")


@pytest.mark.parametrize("n_channels", [1, 2, 3, 4])
@pytest.mark.parametrize("make", [noise, picture, lambda *shape: np.zeros(shape, np.uint8)])
def test_images_come_back_exactly_and_no_larger_than_their_values(make, n_channels):
    pixels = make(41, 57, n_channels)
    codec = StoredCodec()
    encoded = codec.encode(pixels)
    np.testing.assert_array_equal(codec.decode(encoded.data), pixels)
    assert len(encoded.data) <= pixels.size + 64
    assert sum(encoded.sizes.values()) == 8 * len(encoded.data)


def test_sides_too_long_for_webp():
    pixels = picture(2, 20_000, 3)
    codec = StoredCodec()
    np.testing.assert_array_equal(codec.decode(codec.encode(pixels).data), pixels)


def test_a_flat_image_is_stored_and_a_model_can_be_asked_for(tiny_checkpoint):
    pixels = np.full((64, 64, 3), 200, np.uint8)
    options = {"effort": 1, "checkpoint": str(tiny_checkpoint)}
    data = irec.compress(pixels, **options)
    assert read_header(data).profile == STORED
    assert len(data) < 64
    np.testing.assert_array_equal(irec.decompress(data), pixels)
    by_model = irec.compress(pixels, **options, model_only=True)
    assert read_header(by_model).profile == LOSSLESS
    assert len(by_model) > len(data)


def test_noise_is_hardly_longer_than_its_values(tiny_checkpoint):
    pixels = noise(40, 40, 3)
    data = irec.compress(pixels, effort=1, checkpoint=str(tiny_checkpoint))
    assert len(data) <= pixels.size + 64
    np.testing.assert_array_equal(irec.decompress(data), pixels)


@pytest.mark.parametrize("make", [noise, picture, lambda *shape: np.zeros(shape, np.uint8)])
def test_damage_to_a_stored_image_is_noticed(make):
    pixels = make(9, 13, 3)
    data = StoredCodec().encode(pixels).data
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 1
        for wrong in (bytes(damaged), data[:position]):
            with pytest.raises(BitstreamError):
                irec.decompress(wrong)
    with pytest.raises(BitstreamError):
        irec.decompress(data + b"\0")


@pytest.mark.parametrize("lossy", [False, True])
@pytest.mark.parametrize("make", [picture, lambda *shape: np.zeros(shape, np.uint8)])
def test_metadata_come_back_and_leave_pixels_alone(
    tiny_checkpoint, tiny_lossy_checkpoint, lossy, make
):
    checkpoint = str(tiny_lossy_checkpoint if lossy else tiny_checkpoint)
    pixels = make(70, 50, 4)
    options = {"lossy": lossy, "effort": 1, "checkpoint": checkpoint}
    without = irec.compress(pixels, **options)
    data = irec.compress(pixels, **options, metadata=METADATA)
    assert read_metadata(data) == METADATA
    assert not read_metadata(without)
    given = {} if read_header(data).profile == STORED else {"checkpoint": checkpoint}
    np.testing.assert_array_equal(irec.decompress(data, **given), irec.decompress(without, **given))


def test_metadata_are_bounded_both_ways():
    with pytest.raises(UnsupportedImageError, match="--metadata none"):
        compress_metadata(Metadata(exif=bytes(1 << 24)))
    packed = compress_metadata(METADATA)
    assert decompress_metadata(packed) == METADATA
    with pytest.raises(TruncatedFileError):
        decompress_metadata(packed[:-3])
    for wrong in (b"", b"\xff" * 20, packed + b"\0", compress_metadata(Metadata())):
        with pytest.raises(BitstreamError):
            decompress_metadata(wrong)


def test_a_stored_image_of_another_size_is_not_decoded():
    codec = StoredCodec()
    data = bytearray(codec.encode(picture(9, 13, 3)).data)
    data[3] += 1
    data[-4:] = zlib.crc32(data[:-4]).to_bytes(4, "little")
    with pytest.raises(CorruptFileError, match="another size"):
        codec.decode(bytes(data))


def test_files_say_what_metadata_they_hold(tiny_checkpoint):
    buffer = io.BytesIO()
    Image.fromarray(picture(9, 9, 3)).save(buffer, "PNG", icc_profile=METADATA.icc)
    data = irec.compress(
        picture(9, 9, 3), effort=1, checkpoint=str(tiny_checkpoint), metadata=METADATA
    )
    assert irec.codec.describe(data, str(tiny_checkpoint)).metadata == METADATA


def test_the_pixels_that_are_decoded_are_bounded():
    data = StoredCodec().encode(np.zeros((30, 50, 3), np.uint8)).data
    with pytest.raises(UnsupportedImageError, match=r"50x30 pixels .* limit of 1,499"):
        irec.decompress(data, max_pixels=1499)
    assert irec.decompress(data, max_pixels=1500).shape == (30, 50, 3)
    assert irec.decompress(data, max_pixels=None).shape == (30, 50, 3)
