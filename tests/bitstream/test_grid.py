from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from irec.bitstream import LogisticParameters, quantise, safe_grid_offset
from irec.bitstream.grid import (
    BASE_BITS,
    COUPLING_GRID,
    LOG_SCALE_GRID,
    LOGIT_GRID,
    MEAN_GRID,
    N_OFFSETS,
    Grid,
)
from irec.errors import InvalidParameterError

from .conftest import float_bits

# Those that reach 100 steps to either side of zero, and all.
WIDE_GRIDS = [MEAN_GRID, LOG_SCALE_GRID, COUPLING_GRID]
GRIDS = [*WIDE_GRIDS, LOGIT_GRID]


def near_boundaries(grid: Grid) -> st.SearchStrategy[float]:
    """Values at a few drift bounds from the rounding boundaries of all offsets, and any others."""
    step = 2.0**-grid.step_bits
    boundary = st.builds(
        lambda cell, sixteenth, bounds: (cell + sixteenth / 16) * step + bounds * grid.drift_bound,
        st.integers(int(grid.low / step), int(grid.high / step)),
        st.integers(0, 15),
        st.floats(-3, 3),
    )
    return st.one_of(boundary, st.floats(-1e6, 1e6))


@pytest.mark.parametrize("grid", GRIDS)
@settings(max_examples=200)
@given(data=st.data(), offset=st.integers(0, 15))
def test_values_that_drift_within_the_bound_round_alike_where_the_grid_is_safe(
    grid: Grid, data: st.DataObject, offset: int
):
    values = data.draw(hnp.arrays(np.float64, (1, 2, 3), elements=near_boundaries(grid)))
    drift = data.draw(hnp.arrays(np.float64, (1, 2, 3), elements=st.floats(-0.99, 0.99)))
    drifted = values + drift * grid.drift_bound
    if grid.is_safe(values, offset):
        np.testing.assert_array_equal(grid.quantise(values, offset), grid.quantise(drifted, offset))


@pytest.mark.parametrize("grid", WIDE_GRIDS)
@given(offset=st.integers(0, 15), cell=st.integers(-100, 100), side=st.sampled_from([-0.9, 0.9]))
def test_values_near_a_boundary_are_unsafe_and_may_round_apart(
    grid: Grid, offset: int, cell: int, side: float
):
    step = 2.0**-grid.step_bits
    boundary = (cell + 0.5 - offset / 16) * step
    values = np.full((1, 1, 1), boundary + side * grid.drift_bound)
    assert not grid.is_safe(values, offset)
    assert grid.quantise(values, offset) != grid.quantise(2 * boundary - values, offset)


@pytest.mark.parametrize("grid", GRIDS)
@given(offset=st.integers(0, 15), data=st.data())
def test_rounding_moves_by_half_a_step_at_most_and_stays_in_range(
    grid: Grid, offset: int, data: st.DataObject
):
    value = data.draw(st.floats(2 * grid.low, 2 * grid.high))
    rounded = int(grid.quantise(np.full((1, 1, 1), value), offset).item())
    assert grid.lowest <= rounded <= grid.highest
    error = rounded * 2.0**-grid.unit_bits - np.clip(value, grid.low, grid.high)
    assert abs(error) <= 0.5 * 2.0**-grid.step_bits


def test_constant_parameters_on_a_boundary_find_another_offset():
    shape = (3, 16, 16)
    on_boundary = LogisticParameters(
        mean=np.full(shape, 100 + 2.0**-7),
        log_scale=np.full(shape, 1 - 2.0**-6 + 2.0**-9),  # a boundary of offset 15
        coupling=np.zeros(shape),
    )
    assert safe_grid_offset(on_boundary) == 1
    assert quantise(on_boundary, 1).mean[0, 0, 0, 0] == (6400 << 4) + 15


def test_a_tile_without_a_safe_offset_is_refused():
    boundaries = 100 + (0.5 - np.arange(N_OFFSETS) / 16) / 64
    parameters = LogisticParameters(boundaries.reshape(1, 4, 4), np.zeros((1, 4, 4)))
    with pytest.raises(InvalidParameterError, match="smaller tiles"):
        safe_grid_offset(parameters)


def test_most_large_tiles_need_no_offset():
    rng = np.random.default_rng(0)
    shape = (3, 256, 256)
    offsets = [
        safe_grid_offset(
            LogisticParameters(
                rng.uniform(0, 255, shape), rng.uniform(-2, 4, shape), rng.uniform(-1, 1, shape)
            )
        )
        for _ in range(20)
    ]
    # Expected: 1.8 % of tiles need another one; four of twenty would be one in 2,500.
    assert sum(offset > 0 for offset in offsets) <= 3
    assert max(offsets) <= 2


@pytest.mark.parametrize("n_components", [1, 3])
def test_rounding_costs_less_than_a_fiftieth_of_a_percent(draw_sample, n_components):
    sample = draw_sample(3, 256, 256, 5, n_components)
    ideal = float_bits(sample.parameters, sample.pixels)
    for offset in (0, 11):
        q = quantise(sample.parameters, offset)
        rounded = LogisticParameters(
            q.mean * 2.0**-MEAN_GRID.unit_bits,
            q.log_scale * 2.0**-LOG_SCALE_GRID.unit_bits,
            q.coupling * 2.0**-COUPLING_GRID.unit_bits,
            None if q.logit is None else q.logit * 2.0**-LOGIT_GRID.unit_bits,
            q.base * 2.0**-BASE_BITS,
        )
        assert not np.array_equal(rounded.mean, sample.parameters.mean)
        assert abs(float_bits(rounded, sample.pixels) / ideal - 1) < 2e-4


@pytest.mark.usefixtures("no_type_checks")
def test_parameters_that_are_no_parameters_are_refused():
    good = LogisticParameters(np.zeros((3, 2, 2)), np.zeros((3, 2, 2)), np.zeros((3, 2, 2)))
    bad: list[dict[str, np.ndarray]] = [
        {"mean": np.full((3, 2, 2), np.nan)},
        {"log_scale": np.full((3, 2, 2), np.inf)},
        {"coupling": np.full((3, 2, 2), -np.inf)},
        {"mean": np.zeros((3, 2, 2), np.float32)},
        {"mean": np.zeros((3, 2))},
        {"mean": np.zeros((3, 2, 0))},
        {"mean": np.zeros((2, 2, 2)), "log_scale": np.zeros((2, 2, 2))},
        {"log_scale": np.zeros((3, 2, 1))},
        {"coupling": np.zeros((3, 1, 2))},
        {"mean": np.zeros((1, 2, 2)), "log_scale": np.zeros((1, 2, 2))},
        {"logit": np.zeros((2, 2, 2))},
        {"logit": np.zeros((1, 2, 1))},
        {"base": np.zeros((1, 2, 2))},
        # Two components, and nothing that says how much each of them weighs.
        dict.fromkeys(("mean", "log_scale", "coupling"), np.zeros((2, 3, 2, 2))),
    ]
    for change in bad:
        with pytest.raises(InvalidParameterError):
            replace(good, **change)
    for offset in (-1, 16):
        with pytest.raises(InvalidParameterError):
            quantise(good, offset)
