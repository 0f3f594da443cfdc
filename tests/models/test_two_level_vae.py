import itertools

import pytest
import torch

from irec.errors import InvalidParameterError
from irec.models.two_level_vae import TwoLevelVAEConfig
from tests.models.lossy_models import Recorder, images
from tests.models.lossy_models import small_two_level_vae as small_model


@pytest.mark.parametrize(("height", "width"), [(64, 64), (128, 192)])
def test_the_source_is_asked_for_z2_and_then_for_z1(height, width):
    model, source = small_model(), Recorder()
    anchor_position = torch.tensor([0.5, 2.0])
    with torch.no_grad():
        decoded = model(images(2, height, width), source, anchor_position)
    assert decoded.shape == (2, 3, height, width)
    z2, z1 = (2, 4, height // 64, width // 64), (2, 5, height // 16, width // 16)
    shapes = [(p.batch_shape, q.batch_shape) for p, q in source.asked]
    assert shapes == [(z2, z2), (z1, z1)]
    assert model.n_latent_tensors == 2
    assert all((one.scale > 0).all() for pair in source.asked for one in pair)


def test_the_quality_matters_to_posterior_and_image():
    model, pixels, found = small_model(), images(), []
    for anchor_position in (0.0, 0.5, 2.0):
        source = Recorder()
        with torch.no_grad():
            decoded = model(pixels, source, torch.tensor([anchor_position]))
        found.append((decoded, source.asked[1][1].loc))
    for (image, mean), (other_image, other_mean) in itertools.pairwise(found):
        assert not torch.allclose(image, other_image)
        assert not torch.allclose(mean, other_mean)


def test_half_precision_ends_before_the_last_layer():
    model, last_input = small_model(), []
    model.synthesis.last.register_forward_pre_hook(lambda _, given: last_input.append(given[0]))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        model(images(), Recorder(), torch.tensor([1.0]))
    assert last_input[0].dtype == torch.float32


@pytest.mark.parametrize("lambdas", [(), (0.0, 0.1), (-0.1,), (0.1, 0.1), (0.3, 0.1)])
def test_lambdas_are_positive_and_ascending(lambdas):
    with pytest.raises(InvalidParameterError, match="positive and ascending"):
        TwoLevelVAEConfig(lambdas=lambdas)


def test_lambdas_of_a_file_are_a_list_at_first():
    assert TwoLevelVAEConfig(lambdas=[0.1, 0.2]) == TwoLevelVAEConfig(lambdas=(0.1, 0.2))
