import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from irec.coding.schedule import (
    N_RHOS,
    fit_rho_index,
    geometric_variances,
    power_law_variances,
    rho_of_index,
)
from irec.errors import InvalidParameterError


@given(st.integers(1, 300), st.integers(0, N_RHOS - 1))
def test_geometric_schedule_falls_and_sums_to_one(n_steps, rho_index):
    variances = geometric_variances(n_steps, rho_index)
    assert len(variances) == n_steps
    assert math.fsum(variances) == pytest.approx(1.0, abs=1e-12)
    assert variances[-1] > 0
    assert all(a >= b for a, b in pairwise(variances))


def test_geometric_schedule_is_the_formula():
    rate = 2.0 ** (-5 / 2)
    reached = [(1 - rate ** (k / 7)) / (1 - rate) for k in range(8)]
    expected = [b - a for a, b in pairwise(reached)]
    assert geometric_variances(7, 5) == pytest.approx(expected, rel=1e-12)
    assert geometric_variances(4, 0) == [0.25] * 4


def test_steps_shrink_by_the_rho_that_is_told():
    assert rho_of_index(0) == 0.0
    # From the first step on to the end of the last: (1 - rho)^(k/K), here over half of them.
    variances = geometric_variances(6, 5)
    assert variances[3] / variances[0] == pytest.approx((1.0 - rho_of_index(5)) ** 0.5)


@given(st.integers(1, 200))
def test_power_law_sums_to_one(n_steps):
    variances = power_law_variances(n_steps)
    assert math.fsum(variances) == pytest.approx(1.0, abs=1e-12)
    assert variances[0] == pytest.approx(n_steps**-0.7864636765648174)


@pytest.mark.parametrize("rho_index", [1, 3, 8, 15, 16, 31, 60, 79])
def test_fit_recovers_the_schedule_that_one_kind_of_dimension_needs(rho_index):
    # With m^2 = 1 - s^2 the KL is -ln(1 - c (1 - s^2)) / 2, so that r = s^2 is exact.
    scale = 2.0 ** (-rho_index / 4)
    mean = math.sqrt(1.0 - scale**2)
    fitted = fit_rho_index(torch.tensor([mean]).double(), torch.tensor([scale]).double())
    assert int(fitted) == rho_index


def test_fit_is_linear_where_only_means_differ_and_works_on_batches():
    mean = torch.tensor([[3.0, 1.0], [0.0, 0.0]]).double()
    scale = torch.tensor([[1.0, 1.0], [1.0, 1.0]]).double()
    assert fit_rho_index(mean, scale).tolist() == [0, 0]


@pytest.mark.parametrize(("n_steps", "rho_index"), [(0, 0), (3, -1), (3, N_RHOS)])
def test_impossible_schedules_are_refused(n_steps, rho_index):
    with pytest.raises(InvalidParameterError):
        geometric_variances(n_steps, rho_index)
    with pytest.raises(InvalidParameterError):
        power_law_variances(0)
