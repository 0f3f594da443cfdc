import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from irec.bitstream import (
    Calibration,
    LogisticParameters,
    QuantisedParameters,
    ResidualDecoder,
    ResidualEncoder,
    quantise,
)
from irec.bitstream.calibration import MAX_STEPS
from irec.bitstream.grid import COUPLING_GRID, LOG_SCALE_GRID, LOGIT_GRID, MEAN_GRID
from irec.codec.calibrate import calibrated
from irec.errors import BitstreamError
from irec.models import likelihoods

STEP = st.integers(-MAX_STEPS, MAX_STEPS)
COLOUR = st.tuples(*[STEP] * 9).map(lambda steps: Calibration(*steps))
GREY = st.tuples(*[STEP] * 4).map(
    lambda steps: Calibration(**dict(zip(Calibration.fields(1), steps, strict=True)))
)


def mixtures(seed: int, n_channels: int = 3, size: int = 6) -> LogisticParameters:
    rng = np.random.default_rng(seed)
    base = rng.integers(0, 1020, (n_channels, size, size)) / 4.0
    return LogisticParameters(
        mean=base + rng.normal(0.0, 8.0, (4, n_channels, size, size)),
        log_scale=rng.uniform(-2.0, 4.0, (4, n_channels, size, size)),
        coupling=rng.uniform(-1.0, 1.0, (4, 3, size, size)) if n_channels == 3 else None,
        logit=rng.normal(0.0, 2.0, (4, size, size)),
        base=base,
    )


@given(chain=st.lists(COLOUR, min_size=1, max_size=4), repeat=st.integers(1, 3))
@settings(max_examples=20)
def test_calibrations_come_back_between_pixels(chain, repeat):
    pixels = np.arange(108, dtype=np.uint8).reshape(3, 6, 6)
    parameters = quantise(mixtures(0), 0)
    chain = [one for one in chain for _ in range(repeat)]
    encoder, before = ResidualEncoder(), Calibration()
    for one in chain:
        one.write(encoder, before, 3)
        encoder.add(pixels, one.apply(parameters))
        before = one
    decoder, before = ResidualDecoder(encoder.finish()), Calibration()
    for one in chain:
        before = Calibration.read(decoder, before, 3)
        assert before == one
        assert np.array_equal(decoder.next(before.apply(parameters)), pixels)


@given(one=GREY, before=GREY)
def test_grey_calibrations_take_as_many_bits_as_they_say(one, before):
    encoder = ResidualEncoder()
    one.write(encoder, before, 1)
    data = encoder.finish()
    assert Calibration.read(ResidualDecoder(data), before, 1) == one
    assert 8 * len(data) <= one.n_bits(before, 1) + 9


@given(one=COLOUR, seed=st.integers(0, 9))
@settings(max_examples=40)
def test_integers_do_what_floats_say_within_a_step(one, seed):
    given_ = mixtures(seed)
    exact = one.apply(quantise(given_, 0))
    real = calibrated(
        likelihoods.LogisticParameters(
            *(
                torch.from_numpy(part)[None]
                for part in (
                    given_.mean,
                    given_.log_scale,
                    given_.coupling,
                    given_.logit,
                    given_.base,
                )
            )
        ),
        torch.tensor(one, dtype=torch.float64),
    )
    for grid, whole, float_ in (
        (MEAN_GRID, exact.mean, real.mean),
        (LOG_SCALE_GRID, exact.log_scale, real.log_scale),
        (COUPLING_GRID, exact.coupling, real.coupling),
        (LOGIT_GRID, exact.logit, real.logit),
    ):
        expected = float_[0].numpy().clip(grid.low, grid.high)
        # Gains reach about three, and multiply what rounding to half a step leaves.
        off = np.abs(whole / 2.0**grid.unit_bits - expected)
        assert off.max() <= 2.0 * 2.0**-grid.step_bits


@given(one=COLOUR)
@settings(max_examples=30)
def test_the_furthest_corrections_stay_on_the_grids(one):
    high = quantise(mixtures(1), 0)
    extreme = QuantisedParameters(
        mean=np.full_like(high.mean, MEAN_GRID.highest),
        log_scale=np.full_like(high.log_scale, LOG_SCALE_GRID.lowest),
        coupling=np.full_like(high.coupling, COUPLING_GRID.lowest),
        logit=np.full_like(high.logit, LOGIT_GRID.lowest),
        base=np.zeros_like(high.base),
    )
    result = one.apply(extreme)
    for grid, values in (
        (MEAN_GRID, result.mean),
        (LOG_SCALE_GRID, result.log_scale),
        (COUPLING_GRID, result.coupling),
        (LOGIT_GRID, result.logit),
    ):
        assert values.dtype == np.int32
        assert grid.lowest <= values.min() <= values.max() <= grid.highest


@given(data=st.binary(min_size=4, max_size=40))
@settings(max_examples=50)
def test_any_bytes_are_a_calibration_or_an_error(data):
    decoder, before = ResidualDecoder(data), Calibration()
    try:
        for _ in range(10):
            before = Calibration.read(decoder, before, 3)
    except BitstreamError:
        return
    assert max(abs(step) for step in before) <= MAX_STEPS


@pytest.mark.parametrize("n_channels", [1, 3])
def test_a_kept_calibration_costs_a_tenth_of_a_bit(n_channels):
    assert Calibration().n_bits(Calibration(), n_channels) < 0.1
