import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from irec.models.lossy_model import GainUnit, lambda_at


def random_control(channels=3, n_anchors=4):
    control = GainUnit(channels, n_anchors)
    with torch.no_grad():
        control.log_gain.normal_()
        control.shift.normal_()
    return control.double()


def apply(control, anchor_positions):
    """Gain and shift at each anchor position, [n, c] each."""
    anchor_position = torch.tensor(anchor_positions, dtype=torch.float64)
    n_channels = control.log_gain.shape[1]
    zero = torch.zeros(len(anchor_position), n_channels, 1, 1, dtype=torch.float64)
    with torch.no_grad():
        shift = control(zero, anchor_position)[..., 0, 0]
        return control(zero + 1.0, anchor_position)[..., 0, 0] - shift, shift


def test_it_starts_as_the_identity_at_every_quality():
    x = torch.randn(5, 3, 2, 4)
    anchor_position = torch.tensor([0.0, 0.3, 1.0, 2.9, 3.0])
    assert torch.equal(GainUnit(3, 4)(x, anchor_position), x)


def test_each_anchor_has_its_own_gain_and_shift():
    control = random_control()
    gain, shift = apply(control, [0.0, 1.0, 2.0, 3.0])
    torch.testing.assert_close(gain, control.log_gain.exp().detach())
    torch.testing.assert_close(shift, control.shift.detach(), rtol=0, atol=0)


@given(st.integers(0, 2), st.floats(0.0, 1.0))
def test_between_anchors_gains_go_geometrically_and_shifts_linearly(left, share):
    control = random_control()
    gain, shift = apply(control, [float(left), left + share, left + 1.0])
    torch.testing.assert_close(gain[1], gain[0] ** (1.0 - share) * gain[2] ** share)
    torch.testing.assert_close(shift[1], (1.0 - share) * shift[0] + share * shift[2])


def test_each_image_has_a_quality_of_its_own():
    control, x = random_control(), torch.randn(3, 3, 2, 2, dtype=torch.float64)
    anchor_position = torch.tensor([2.5, 0.0, 1.25], dtype=torch.float64)
    alone = [control(x[i : i + 1], anchor_position[i : i + 1]) for i in range(3)]
    torch.testing.assert_close(control(x, anchor_position), torch.cat(alone))
    # Every value of a channel is treated alike.
    gain, shift = apply(control, anchor_position.tolist())
    expected = x * gain[..., None, None] + shift[..., None, None]
    torch.testing.assert_close(control(x, anchor_position), expected)


def test_with_one_anchor_there_is_nothing_to_learn():
    control, x = GainUnit(3, 1), torch.randn(2, 3, 2, 2)
    assert not list(control.parameters())
    assert torch.equal(control(x, torch.zeros(2)), x)


def test_half_precision_stays():
    control, x = GainUnit(3, 4), torch.randn(1, 3, 2, 2).bfloat16()
    assert control(x, torch.tensor([1.5])).dtype == torch.bfloat16


@given(
    st.lists(st.floats(1e-4, 10.0), min_size=1, max_size=6, unique=True).map(sorted),
    st.floats(0.0, 1.0),
)
def test_a_lambda_is_found_at_its_position(lambdas, share):
    # Anchors closer than this are one in single precision.
    lambdas = [value * 1.01**index for index, value in enumerate(lambdas)]
    value = lambdas[0] ** (1 - share) * lambdas[-1] ** share
    anchor_position = torch.tensor(
        [np.interp(np.log(value), np.log(lambdas), range(len(lambdas)))]
    ).float()
    assert lambda_at(anchor_position, lambdas).item() == pytest.approx(value, rel=1e-4)


@given(st.lists(st.floats(1e-4, 10.0), min_size=1, max_size=6, unique=True).map(sorted))
def test_at_an_anchor_it_is_the_anchors_to_the_bit(lambdas):
    anchor_position = torch.arange(len(lambdas), dtype=torch.float64)
    assert lambda_at(anchor_position, lambdas).tolist() == lambdas
