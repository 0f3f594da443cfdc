import numpy as np
import pytest
import torch
from PIL import Image

import irec
from irec.errors import (
    BitstreamError,
    CheckpointError,
    CorruptFileError,
    InvalidParameterError,
    ModelMismatchError,
    NotAnIrecFileError,
)
from tests.pictures import picture


def round_trip(image, checkpoint):
    data = irec.compress(image, effort=1, checkpoint=str(checkpoint), model_only=True)
    return irec.decompress(data, checkpoint=str(checkpoint))


def test_arrays_images_and_tensors_give_the_same_file(tiny_checkpoint):
    pixels = picture(9, 12, 3)
    given = [pixels, Image.fromarray(pixels), torch.from_numpy(pixels).permute(2, 0, 1)]
    files = {
        irec.compress(one, effort=1, checkpoint=str(tiny_checkpoint), model_only=True)
        for one in given
    }
    assert len(files) == 1
    decoded = irec.decompress(files.pop(), checkpoint=str(tiny_checkpoint))
    assert np.array_equal(decoded, pixels)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_colour_modes_of_pillow_come_back(tiny_checkpoint, mode):
    n_channels = len(Image.new(mode, (1, 1)).getbands())
    pixels = picture(7, 5, n_channels)
    image = Image.fromarray(pixels[:, :, 0] if mode == "L" else pixels)
    assert image.mode == mode
    assert np.array_equal(round_trip(image, tiny_checkpoint), pixels)


def test_a_file_of_an_unknown_model_says_so(tiny_checkpoint):
    data = irec.compress(
        picture(4, 4, 3), effort=1, checkpoint=str(tiny_checkpoint), model_only=True
    )
    with pytest.raises(ModelMismatchError, match="--checkpoint"):
        irec.decompress(data)


def test_foreign_bytes_are_no_irec_file():
    with pytest.raises(NotAnIrecFileError):
        irec.decompress(b"\x89PNG\r\n\x1a\n")


def test_unknown_checkpoint_lists_the_known_ones():
    with pytest.raises(CheckpointError, match="no checkpoint 'rvae-smal'"):
        irec.compress(picture(4, 4, 3), checkpoint="rvae-smal")


def compress_lossy(image, checkpoint, **options):
    return irec.compress(image, lossy=True, effort=1, checkpoint=str(checkpoint), **options)


def test_lossy_quality_and_target_choose_the_rate(tiny_lossy_checkpoint):
    image = picture(128, 192, 3)
    files = [compress_lossy(image, tiny_lossy_checkpoint, quality=q) for q in (0.0, 50.0, 100.0)]
    assert len(files[0]) < len(files[1]) < len(files[2])
    assert compress_lossy(image, tiny_lossy_checkpoint) == files[1]
    target = 8 * (len(files[1]) + 2) / (128 * 192)
    data = compress_lossy(image, tiny_lossy_checkpoint, target_bpp=target)
    assert len(files[0]) < len(data) <= len(files[1]) + 2
    decoded = irec.decompress(data, checkpoint=str(tiny_lossy_checkpoint))
    assert decoded.shape == image.shape


def test_lossy_takes_arrays_images_and_tensors(tiny_lossy_checkpoint):
    pixels = picture(40, 30, 3)
    given = [pixels, Image.fromarray(pixels), torch.from_numpy(pixels).permute(2, 0, 1)]
    assert len({compress_lossy(one, tiny_lossy_checkpoint) for one in given}) == 1


def test_a_lossy_file_cut_off_decodes_where_that_is_allowed(tiny_lossy_checkpoint):
    data = compress_lossy(picture(64, 96, 3), tiny_lossy_checkpoint, quality=100.0)
    chosen = {"checkpoint": str(tiny_lossy_checkpoint)}
    with pytest.raises(CorruptFileError, match="allow-truncated"):
        irec.decompress(data[:-9], **chosen)
    decoded = irec.decompress(data[:-9], allow_truncated=True, **chosen)
    assert decoded.shape == (64, 96, 3)
    assert not np.array_equal(decoded, irec.decompress(data, **chosen))


def test_a_lossless_file_cut_off_is_refused_either_way(tiny_checkpoint):
    data = irec.compress(picture(9, 9, 3), effort=1, checkpoint=str(tiny_checkpoint))
    for allowed in (False, True):
        with pytest.raises(BitstreamError):
            irec.decompress(data[:-9], allow_truncated=allowed, checkpoint=str(tiny_checkpoint))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quality": 50.0}, "say lossy"),
        ({"target_bpp": 1.0}, "say lossy"),
        ({"target_psnr": 30.0}, "say lossy"),
        ({"lossy": True, "target_psnr": 30.0, "target_bpp": 1.0}, "exclude each other"),
        ({"lossy": True, "target_psnr": 0.0}, "more than 0"),
        ({"lossy": True, "quality": 50.0, "target_bpp": 1.0}, "exclude each other"),
        ({"lossy": True, "quality": 101.0}, "0 to 100"),
        ({"lossy": True, "quality": float("nan")}, "0 to 100"),
        ({"lossy": True, "target_bpp": 0.0}, "more than 0"),
        ({"lossy": True, "target_bpp": float("nan")}, "more than 0"),
        ({"lossy": True, "effort": 10}, "effort"),
    ],
)
def test_impossible_rates_are_refused(tiny_lossy_checkpoint, options, message):
    with pytest.raises(InvalidParameterError, match=message):
        irec.compress(picture(8, 8, 3), checkpoint=str(tiny_lossy_checkpoint), **options)


def test_a_checkpoint_of_the_other_kind_is_refused(tiny_checkpoint, tiny_lossy_checkpoint):
    with pytest.raises(CheckpointError, match="is a lossless model"):
        compress_lossy(picture(8, 8, 3), tiny_checkpoint)
    with pytest.raises(CheckpointError, match="is a lossy model"):
        irec.compress(picture(8, 8, 3), checkpoint=str(tiny_lossy_checkpoint))
