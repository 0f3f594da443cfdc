import numpy as np
import pytest
import torch

from irec.codec.export import _patches, measure_lossy
from irec.errors import DataError
from irec.models.sources import PosteriorSampler
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
    coding = measure_lossy(model, [picture(192, 384, 3, 0)])
    n_tensors = 1 + len(coding.channel_groups)
    assert len(coding.usual_steps) == len(coding.usual_rho) == 3 * n_tensors
    lowest, middle, highest = (
        sum(coding.usual_steps[anchor * n_tensors : (anchor + 1) * n_tensors])
        for anchor in range(3)
    )
    assert 0 < lowest < middle < highest


def test_channels_are_grouped_by_what_they_tell(tmp_path):
    model = load_checkpoint(write_lossy_checkpoint(tmp_path / "lossy")).model
    groups = measure_lossy(model, [picture(192, 384, 3, 0)]).channel_groups
    assert sorted(channel for group in groups for channel in group) == list(range(5))
    source = PosteriorSampler(torch.Generator().manual_seed(1))
    pixels = torch.from_numpy(picture(192, 384, 3, 0).transpose(2, 0, 1).copy())[None].float()
    with torch.no_grad():
        model(pixels, source, torch.ones(1))
    kl = source.kl_nats[-1].mean((0, 2, 3))
    means = [float(kl[list(group)].mean()) for group in groups]
    assert means == sorted(means, reverse=True)


def test_statistics_are_for_an_area_of_32_by_32(tmp_path):
    model = load_checkpoint(write_lossy_checkpoint(tmp_path / "lossy", (0.01,))).model
    image = picture(192, 192, 3, 0)
    kl_steps = measure_lossy(model, [image]).usual_steps
    with torch.inference_mode():
        again = measure_lossy(model, [np.concatenate([image, image])])
    assert again.usual_steps == pytest.approx(kl_steps, rel=0.05)
