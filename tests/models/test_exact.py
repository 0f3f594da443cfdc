import math

import pytest
import torch

from irec.errors import CheckpointError
from irec.models.exact import MAX_VALUE, VALUE_BITS, ExactConv2d, on_grid, put_on_grid


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


@pytest.fixture
def layer():
    layer = ExactConv2d(5, 7, 3).double()
    put_on_grid(layer)
    return layer


@pytest.mark.parametrize("kernel", [1, 3])
def test_float64_is_the_convolution_on_a_grid(kernel):
    layer = ExactConv2d(5, 7, kernel).double()
    put_on_grid(layer)
    x = on_grid(torch.randn(2, 5, 9, 8, dtype=torch.float64))
    expected = torch.nn.functional.conv2d(x, layer.weight, layer.bias, padding=kernel // 2)
    assert torch.equal(layer(x), on_grid(expected))


def test_no_order_of_summation_changes_a_bit(layer):
    x = 300 * torch.randn(1, 5, 40, 30, dtype=torch.float64)
    order = torch.randperm(5)
    shuffled = ExactConv2d(5, 7, 3).double()
    shuffled.weight.data = layer.weight.data[:, order]
    shuffled.bias.data = layer.bias.data
    assert torch.equal(layer(x), shuffled(x[:, order]))
    assert torch.equal(layer(x.flip(0)), layer(x))


def test_sums_stay_below_what_float64_holds(layer):
    # 2**-26 is the unit of products: any sum is a whole number of them below 2**53.
    worst = layer.weight.abs().sum((1, 2, 3)).max() * MAX_VALUE * 2**26
    assert worst < 2**53
    out = layer(torch.full((1, 5, 4, 4), 1e9, dtype=torch.float64))
    assert out.abs().max() <= MAX_VALUE
    assert torch.equal(out * 2**VALUE_BITS, (out * 2**VALUE_BITS).round())


def test_weights_that_could_round_are_refused():
    layer = ExactConv2d(64, 1, 3).double()
    torch.nn.init.constant_(layer.weight, 1e6)
    with pytest.raises(CheckpointError, match="too large"):
        put_on_grid(layer)


def test_other_types_are_ordinary_convolutions(layer):
    ordinary = layer.float()
    x = torch.randn(1, 5, 6, 6)
    expected = torch.nn.functional.conv2d(x, ordinary.weight, ordinary.bias, padding=1)
    torch.testing.assert_close(ordinary(x), expected)


def test_logarithms_of_activity_lie_clear_of_rounding_boundaries():
    # The sum of twelve differences, each a multiple of 1/4 below 256: all there can be.
    spread = 0.5 * (torch.arange(4 * 12 * 256 + 1, dtype=torch.float64) / 4 / 12) + 0.5
    scaled = torch.log(spread) * 2**12
    distance = (scaled - scaled.floor() - 0.5).abs()
    assert distance.min() > 1e-6  # libraries differ by 1e-15 times the size, below 1e-10 here


def test_scales_of_priors_lie_clear_of_rounding_boundaries():
    for index in range(-6 * 64, 6 * 64 + 1):
        scaled = math.exp(index / 64) * 2**20
        assert abs(scaled - math.floor(scaled) - 0.5) > 1e-6
