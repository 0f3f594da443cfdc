import pytest
import torch

from irec.models.weight_norm import (
    WeightNormConv2d,
    WeightNormUpsample2d,
    data_dependent_initialisation,
    is_initialised,
)


@pytest.fixture(params=[WeightNormConv2d, WeightNormUpsample2d])
def layer(request):
    torch.manual_seed(0)
    return request.param(4, 6, 3, initial_std=0.3)


def test_initialisation_gives_the_wanted_mean_and_spread(layer):
    x = 5.0 + 3.0 * torch.randn(16, 4, 8, 8)
    assert not is_initialised(layer)
    with data_dependent_initialisation(layer):
        out = layer(x)
    std, mean = torch.std_mean(out, dim=(0, 2, 3))
    torch.testing.assert_close(std, torch.full((6,), 0.3), atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(mean, torch.zeros(6), atol=1e-4, rtol=0)
    assert is_initialised(layer)
    torch.testing.assert_close(layer(x), out)


def test_constant_input_leaves_the_gain_alone(layer):
    before = layer.gain.detach().clone()
    with data_dependent_initialisation(layer):
        layer(torch.zeros(2, 4, 8, 8))
    torch.testing.assert_close(layer.gain.detach(), before)
    assert is_initialised(layer)


def test_folding_keeps_the_function_and_needs_weight_and_bias_only(layer):
    x = torch.randn(2, 4, 8, 8)
    with data_dependent_initialisation(layer):
        out = layer(x)
    layer.fold()
    torch.testing.assert_close(layer(x), out, atol=1e-5, rtol=1e-4)
    copy = type(layer)(4, 6, 3)
    copy.load_state_dict({"weight": layer.weight, "bias": layer.bias}, strict=False)
    copy.adopt_folded()
    torch.testing.assert_close(copy(x), out, atol=1e-5, rtol=1e-4)
    assert is_initialised(copy)


def test_strided_layers_halve_and_double_the_resolution():
    halved = WeightNormConv2d(3, 5, 5, stride=2)(torch.zeros(1, 3, 10, 14))
    assert halved.shape == (1, 5, 5, 7)
    assert WeightNormUpsample2d(5, 3, 5)(halved).shape == (1, 3, 10, 14)
