import numpy as np
import pytest
import torch

from irec.codec.statistics import _patches, measure_statistics
from irec.errors import DataError
from irec.models.zoo import load_checkpoint
from tests.checkpoints import write_lossy_checkpoint
from tests.pictures import picture


def test_patches_are_spread_over_all_images():
    images = [np.full((32 * 12, 32 * 12, 3), index, np.uint8) for index in range(2)]
    patches = _patches(images, 32, 128)
    assert patches.shape == (128, 3, 32, 32)
    assert set(patches[:, 0, 0, 0].tolist()) == {0.0, 1.0}
    assert len(_patches(list(np.zeros((3, 32, 32, 3), np.uint8)), 32, 128)) == 3


def test_small_images_are_refused():
    with pytest.raises(DataError, match="none of 1 images is 32 pixels"):
        _patches([np.zeros((31, 50, 3), np.uint8)], 32, 128)


def test_every_rate_of_a_lossy_model_has_statistics_of_its_own(tmp_path):
    model = load_checkpoint(write_lossy_checkpoint(tmp_path / "lossy")).model
    coding = measure_statistics(model, [picture(192, 384, 3, 0)])
    assert len(coding.usual_steps) == len(coding.usual_rho) == 2 * 3
    # z1 of the three anchors: more bits, the higher the rate.
    assert coding.usual_steps[1] < coding.usual_steps[3] < coding.usual_steps[5]


def test_statistics_are_for_an_area_of_32_by_32(tmp_path):
    model = load_checkpoint(write_lossy_checkpoint(tmp_path / "lossy", (0.01,))).model
    image = picture(192, 192, 3, 0)
    kl_steps = measure_statistics(model, [image]).usual_steps
    with torch.inference_mode():
        again = measure_statistics(model, [np.concatenate([image, image])])
    assert again.usual_steps == kl_steps
