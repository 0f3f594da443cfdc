import numpy as np
import pytest
import torch
from PIL import Image

import irec
from irec.errors import CheckpointError, ModelMismatchError, NotAnIrecFileError
from tests.pictures import picture


def round_trip(image, checkpoint):
    data = irec.compress(image, effort=1, checkpoint=str(checkpoint))
    return irec.decompress(data, checkpoint=str(checkpoint))


def test_arrays_images_and_tensors_give_the_same_file(tiny_checkpoint):
    pixels = picture(9, 12, 3)
    given = [pixels, Image.fromarray(pixels), torch.from_numpy(pixels).permute(2, 0, 1)]
    files = {irec.compress(one, effort=1, checkpoint=str(tiny_checkpoint)) for one in given}
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
    data = irec.compress(picture(4, 4, 3), effort=1, checkpoint=str(tiny_checkpoint))
    with pytest.raises(ModelMismatchError, match="--checkpoint"):
        irec.decompress(data)


def test_foreign_bytes_are_no_irec_file():
    with pytest.raises(NotAnIrecFileError):
        irec.decompress(b"\x89PNG\r\n\x1a\n")


def test_unknown_checkpoint_lists_the_known_ones():
    with pytest.raises(CheckpointError, match="no checkpoint 'rvae-smal'"):
        irec.compress(picture(4, 4, 3), checkpoint="rvae-smal")
