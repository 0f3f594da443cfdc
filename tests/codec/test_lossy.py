from dataclasses import replace

import numpy as np
import pytest
import torch

from irec.bitstream import LOSSY, pack, read_header
from irec.bitstream.bits import BitWriter
from irec.codec import LosslessCodec, LossyCodec
from irec.errors import (
    BitstreamError,
    CheckpointError,
    CorruptFileError,
    InvalidParameterError,
    ModelMismatchError,
    TruncatedFileError,
    UnsupportedImageError,
)
from irec.images import psnr_db
from irec.models.zoo import load_checkpoint
from tests.checkpoints import write_lossy_checkpoint, write_transform_checkpoint
from tests.pictures import picture


@pytest.fixture(scope="module", params=[write_lossy_checkpoint, write_transform_checkpoint])
def lossy_checkpoint(request, tmp_path_factory):
    return load_checkpoint(request.param(tmp_path_factory.mktemp("models") / "lossy"))


@pytest.fixture(scope="module")
def transform_codec(tmp_path_factory):
    folder = write_transform_checkpoint(tmp_path_factory.mktemp("models") / "transform")
    return LossyCodec(load_checkpoint(folder), effort=1, verify=False)


@pytest.fixture(scope="module")
def codec(lossy_checkpoint):
    return LossyCodec(lossy_checkpoint, effort=1, verify=False)


@pytest.mark.parametrize("size", [(1, 1), (1, 70), (65, 127), (64, 64), (129, 64)])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_file_decodes_to_what_the_encoder_promised(codec, size, channels):
    image = picture(*size, channels, 0)
    encoded = codec.encode(image, 50.0)
    decoded = codec.decode(encoded.data)
    assert decoded.shape == image.shape
    np.testing.assert_array_equal(decoded, encoded.pixels)
    if channels in (2, 4):
        np.testing.assert_array_equal(decoded[..., -1], image[..., -1])


def test_files_decode_alike_in_other_codecs_and_with_other_threads(lossy_checkpoint, codec):
    image = picture(90, 200, 3, 1)
    encoded = codec.encode(image, 100.0)
    threads = torch.get_num_threads()
    try:
        for n_threads in (1, 2):
            torch.set_num_threads(n_threads)
            again = LossyCodec(lossy_checkpoint, seed=5).decode(encoded.data)
            np.testing.assert_array_equal(again, encoded.pixels)
    finally:
        torch.set_num_threads(threads)


def test_every_bit_is_accounted_for_and_the_file_names_its_model(codec):
    encoded = codec.encode(picture(80, 80, 4, 2), 25.0)
    assert encoded.index_bits + encoded.side_bits == encoded.file_bits == 8 * len(encoded.data)
    assert encoded.residual_bits == 0
    header = read_header(encoded.data)
    assert header.profile is LOSSY
    assert header.quality_index == LOSSY.max_quality_index // 4
    assert header.fingerprint == codec.checkpoint.fingerprint


def test_quality_buys_bits(codec):
    image = picture(128, 128, 3, 3)
    sizes = [codec.encode(image, quality).index_bits for quality in (0.0, 50.0, 100.0)]
    assert sizes[0] < sizes[1] < sizes[2]


@pytest.mark.parametrize("quality", [-1.0, 100.5, float("nan")])
def test_there_are_qualities_from_0_to_100(codec, quality):
    with pytest.raises(InvalidParameterError, match="0 to 100"):
        codec.encode(picture(8, 8, 3, 0), quality)


def test_a_model_of_one_rate_takes_no_quality(tmp_path):
    checkpoint = load_checkpoint(write_lossy_checkpoint(tmp_path / "one", (0.02,)))
    codec = LossyCodec(checkpoint, effort=1)
    encoded = codec.encode(picture(70, 50, 3, 0))
    assert encoded.quality is None
    with pytest.raises(InvalidParameterError, match="one quality"):
        codec.encode(picture(8, 8, 3, 0), 50.0)
    with pytest.raises(InvalidParameterError, match="one quality"):
        codec.encode_within(picture(8, 8, 3, 0), 1.0)


def test_a_size_is_met_by_the_best_quality_that_fits(transform_codec):
    image = picture(64, 64, 3, 4)
    max_bits = transform_codec.encode(image, 60.0).file_bits
    encoded = transform_codec.encode_within(image, max_bits / (64 * 64))
    assert encoded.file_bits <= max_bits
    if encoded.quality < 100.0:
        assert transform_codec.encode(image, encoded.quality + 0.5).file_bits > max_bits
    with pytest.raises(InvalidParameterError, match="reach"):
        transform_codec.encode_within(image, 1e-4)


def test_a_psnr_is_met_by_the_lowest_quality_that_has_it(transform_codec):
    image = picture(64, 64, 3, 4)
    wanted = psnr_db(image, transform_codec.encode(image, 60.0).pixels)
    encoded = transform_codec.encode_reaching(image, wanted)
    assert psnr_db(image, encoded.pixels) >= wanted
    assert encoded.quality <= 60.0
    if encoded.quality > 0.0:
        assert psnr_db(image, transform_codec.encode(image, encoded.quality - 0.5).pixels) < wanted
    with pytest.raises(InvalidParameterError, match="reach"):
        transform_codec.encode_reaching(image, 90.0)


def test_the_start_of_a_file_decodes_where_that_is_allowed(codec):
    image = picture(128, 128, 3, 5)
    encoded = codec.encode(image, 100.0)
    front = codec.describe(encoded.data).shortest_beginning
    for length in (front, len(encoded.data) // 2, len(encoded.data) - 1):
        part = encoded.data[:length]
        with pytest.raises(BitstreamError):
            codec.decode(part)
        assert codec.decode(part, allow_truncated=True).shape == image.shape
    whole = codec.decode(encoded.data, allow_truncated=True)
    np.testing.assert_array_equal(whole, encoded.pixels)
    for length in range(front):
        with pytest.raises(BitstreamError):
            codec.decode(encoded.data[:length], allow_truncated=True)


def test_missing_indices_count_as_the_prior_mean(codec):
    encoded = codec.encode(picture(64, 64, 3, 6), 100.0)
    assert codec.unpack(encoded.data).tiles[0].tensors[1].n_steps
    # A tensor without steps is the seeded draw, the same for both images.
    front = codec.describe(encoded.data).shortest_beginning
    decoded = codec.decode(encoded.data[:front], allow_truncated=True)
    other = codec.encode(picture(64, 64, 3, 7), 100.0)
    other_front = codec.decode(other.data[:front], allow_truncated=True)
    # Nothing of either image is there yet.
    np.testing.assert_array_equal(decoded, other_front)


def test_damage_is_found(codec):
    data = bytearray(codec.encode(picture(64, 96, 3, 8), 50.0).data)
    for position in range(6, len(data), 7):
        damaged = bytearray(data)
        damaged[position] ^= 0x20
        with pytest.raises(BitstreamError):
            codec.decode(bytes(damaged))


def test_bytes_after_the_end_are_an_error(codec):
    data = codec.encode(picture(64, 64, 3, 0), 50.0).data
    for rest in (b"\0", data):
        for allowed in (False, True):
            with pytest.raises(CorruptFileError, match=f"{len(rest)} bytes follow"):
                codec.decode(data + rest, allowed)


def test_impossible_claims_are_refused_before_any_work(codec):
    encoded = codec.encode(picture(64, 64, 3, 0), 50.0)
    stream = codec.unpack(encoded.data)
    tile = stream.tiles[0]
    n_steps = 40 * 64 * 64 // 6
    tensor = replace(
        tile.tensors[1], n_steps=n_steps, indices=torch.zeros(n_steps, dtype=torch.int64)
    )
    tile = replace(tile, tensors=[tile.tensors[0], tensor, *tile.tensors[2:]])
    plan = replace(codec._tile_plan(stream.header), tensor_of_index=None)
    data = pack(replace(stream, tiles=[tile]), plan)
    with pytest.raises(CorruptFileError, match="claims"):
        codec.decode(data)
    writer = BitWriter()
    replace(stream.header, height=60_000, width=60_000).write(writer)
    huge = writer.to_bytes() + bytes(64)
    with pytest.raises(TruncatedFileError, match="60000x60000"):
        codec.decode(huge, allow_truncated=True)


def test_models_of_the_other_kind_are_refused(codec, checkpoint):
    with pytest.raises(CheckpointError, match="holds a RVAE"):
        LossyCodec(checkpoint)
    with pytest.raises(CheckpointError, match="holds a T"):
        LosslessCodec(codec.checkpoint)
    lossless = LosslessCodec(checkpoint, effort=1).encode(picture(8, 8, 3, 0)).data
    with pytest.raises(ModelMismatchError):
        codec.decode(lossless)


def test_other_arrays_are_refused(codec):
    with pytest.raises(UnsupportedImageError):
        codec.encode(np.zeros((8, 8, 5), np.uint8), 50.0)


def test_the_ideal_of_a_file_takes_its_evidence(lossy_checkpoint, monkeypatch):
    codec = LossyCodec(lossy_checkpoint, effort=1, refinement_steps=2)
    image = picture(64, 64, 3, 9)
    encoded, ideal = codec.encode(image, 50.0), codec.ideal(image, 50.0)
    monkeypatch.setattr(codec, "_infer", None)
    again = codec.ideal(image, 50.0, encoded=encoded)
    assert again.kl_bits == ideal.kl_bits
    np.testing.assert_array_equal(again.pixels[0], ideal.pixels[0])


def test_the_ideal_image_costs_its_kl(codec):
    image = picture(96, 64, 3, 9)
    state = torch.random.get_rng_state()
    one, two = codec.ideal(image, 100.0, seed=3), codec.ideal(image, 100.0, seed=3)
    assert torch.equal(state, torch.random.get_rng_state())
    assert one.kl_bits == two.kl_bits > 0
    np.testing.assert_array_equal(one.pixels[0], two.pixels[0])
    assert one.pixels[0].shape == image.shape
    assert len(codec.ideal(image, 100.0, n_samples=3).pixels) == 3
    # A real coder sends a little more than that.
    index_bits = codec.encode(image, 100.0).index_bits
    assert 0.9 * one.kl_bits < index_bits < 1.3 * one.kl_bits
