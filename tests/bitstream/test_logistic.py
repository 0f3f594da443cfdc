import decimal
import hashlib
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from irec.bitstream import logistic
from irec.bitstream.grid import LOG_SCALE_GRID, LOGIT_GRID
from irec.bitstream.logistic import ARGUMENT_BITS, ONE, inverse_scale_table, logistic_cdf
from irec.errors import IrecError

arguments = st.one_of(
    st.integers(-30 << ARGUMENT_BITS, 30 << ARGUMENT_BITS), st.integers(-(2**62), 2**62)
)


def cdf(*values: int) -> np.ndarray:
    return logistic_cdf(np.array(values, dtype=np.int64))


@given(arguments)
def test_agrees_with_the_float_function_and_is_symmetric(argument: int):
    value = argument / (1 << ARGUMENT_BITS)
    expected = 1 / (1 + math.exp(-value)) if abs(value) < 700 else float(value > 0)
    below, above = cdf(-argument, argument)
    assert abs(above / ONE - expected) < 2e-7
    assert below + above == ONE


@given(arguments, st.integers(0, 1 << 20))
def test_is_monotone(argument: int, step: int):
    first, second = cdf(argument, argument + step)
    assert first <= second


def test_is_monotone_across_every_table_entry():
    step = 1 << (ARGUMENT_BITS - 8)
    knots = np.arange(-25 * 256, 25 * 256 + 1, dtype=np.int64) * step
    around = np.sort(np.concatenate([knots - 1, knots, knots + 1]))
    assert (np.diff(logistic_cdf(around)) >= 0).all()


def test_reaches_both_ends_and_the_middle_exactly():
    assert cdf(-(2**62), 0, 2**62).tolist() == [0, ONE // 2, ONE]


def test_inverse_scales_agree_with_the_float_function():
    table = inverse_scale_table(-2560, 2560, 9)
    expected = np.array([math.exp(-j / 512) for j in range(-2560, 2561)])
    np.testing.assert_allclose(table / 2**26, expected, rtol=0, atol=0.5 / 2**26 + 1e-12)


def test_tables_are_these_to_the_last_bit():
    # They are part of the file format: another table decodes no existing file.
    cdf_table = logistic_cdf(np.arange(24 * 256 + 1, dtype=np.int64) << (ARGUMENT_BITS - 8))
    scales = inverse_scale_table(-2560, 2560, 9)
    digests = [hashlib.sha256(t.astype("<i8").tobytes()).hexdigest() for t in (cdf_table, scales)]
    assert [digest[:16] for digest in digests] == ["afa3504324cd7a6d", "f59d0b36e8ebba86"]


def test_a_table_that_came_out_wrong_is_neither_used_nor_kept(monkeypatch):
    grid = LOG_SCALE_GRID.lowest, LOG_SCALE_GRID.highest, LOG_SCALE_GRID.unit_bits
    inverse_scale_table.cache_clear()
    with monkeypatch.context() as patched:
        patched.setattr(logistic, "_to_fixed_point", lambda value, bits: 1)
        with pytest.raises(IrecError, match="came out wrong"):
            inverse_scale_table(*grid)
    assert grid in logistic._CHECKSUMS
    assert (0, -LOGIT_GRID.lowest, LOGIT_GRID.unit_bits) in logistic._CHECKSUMS
    assert inverse_scale_table(*grid)[0] > 1


def test_tables_do_not_depend_on_the_decimal_context_of_callers():
    expected = inverse_scale_table(-40, 40, 3)
    inverse_scale_table.cache_clear()
    with decimal.localcontext() as context:
        context.prec = 3
        np.testing.assert_array_equal(inverse_scale_table(-40, 40, 3), expected)
    inverse_scale_table.cache_clear()
