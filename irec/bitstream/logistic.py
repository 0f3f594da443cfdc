"""The logistic function in integers: the same on every machine, to the last bit.

``exp`` of the C library differs by an ulp between platforms, and one ulp in one probability makes
a range-coded stream undecodable. So the tables here come from ``decimal``, whose operations are
correctly rounded by specification, and everything after them is int64 arithmetic.

Fixed-point formats: arguments t in units of 2**-24, probabilities in units of 2**-32, inverse
scales in units of 2**-26.
"""

import functools
import zlib
from collections.abc import Iterator
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext

import numpy as np
from jaxtyping import Int64

from irec.errors import IrecError

ARGUMENT_BITS = 24
PROBABILITY_BITS = 32
INVERSE_SCALE_BITS = 26
ONE = 1 << PROBABILITY_BITS

# sigmoid(23) is 1 - 0.44 * 2**-32, so from there on the table would only repeat ONE.
_MAX_ARGUMENT = 24
# Grid step 2**-8: linear interpolation is then off by at most 0.096 / 8 * 2**-16 = 1.8e-7, and the
# table of 48 KiB stays in the first-level cache.
_STEP_BITS = 8
_FRACTION_BITS = ARGUMENT_BITS - _STEP_BITS
# CRC32 of the tables that files depend on: of probabilities, and of the inverse scales (lowest,
# highest, binary places) of log-scales and of weights.
_CHECKSUMS: dict[str | tuple[int, int, int], int] = {
    "sigmoid": 0xC1C04E1A,
    (-2576, 2576, 9): 0x64A183F0,
    (0, 6160, 9): 0xF5877605,
}
_EXACT = Context(prec=50, rounding=ROUND_HALF_EVEN, Emin=-999999, Emax=999999, traps=[])


def logistic_cdf(argument: Int64[np.ndarray, "*n"]) -> Int64[np.ndarray, "*n"]:
    """Return the logistic function 1 / (1 + exp(-t)), by table and linear interpolation.

    Monotone, and exactly symmetric: ``logistic_cdf(-t) == ONE - logistic_cdf(t)``.

    Args:
        argument: T in units of 2**-24, any int64 but the lowest.

    Returns:
        Probabilities in units of 2**-32, from 0 to ``ONE`` inclusive.
    """
    value, slope = _sigmoid_table()
    magnitude = np.abs(argument)
    np.minimum(magnitude, _MAX_ARGUMENT << ARGUMENT_BITS, out=magnitude)
    index = magnitude >> _FRACTION_BITS
    magnitude &= (1 << _FRACTION_BITS) - 1
    magnitude *= slope.take(index)
    magnitude >>= _FRACTION_BITS
    magnitude += value.take(index)
    return np.where(argument < 0, ONE - magnitude, magnitude)


@functools.cache
def inverse_scale_table(lowest: int, highest: int, unit_bits: int) -> Int64[np.ndarray, " n"]:
    """Inverse scales exp(-j * 2**-unit_bits) for the log-scales j = lowest ... highest.

    Args:
        lowest: First log-scale, in units of 2**-unit_bits nats.
        highest: Last log-scale, inclusive, in the same units.
        unit_bits: Binary places of the log-scale grid.

    Returns:
        Shape [highest - lowest + 1], units of 2**-26, falling.

    Raises:
        IrecError: A table that files depend on came out wrong.
    """
    # Callers may have set a context of their own.
    with localcontext(_EXACT):
        unit = Decimal(1) / (1 << unit_bits)
        powers = _falling_powers(-lowest * unit, unit, highest - lowest + 1)
        table = _frozen([_to_fixed_point(power, INVERSE_SCALE_BITS) for power in powers])
    return _as_specified(table, (lowest, highest, unit_bits))


@functools.cache
def _sigmoid_table() -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " n"]]:
    """Values at t = 0, 2**-8, ..., 24 and the rise to the next one, both in units of 2**-32."""
    n_steps = _MAX_ARGUMENT << _STEP_BITS
    with localcontext(_EXACT):
        values = [
            _to_fixed_point(1 / (1 + power), PROBABILITY_BITS)
            for power in _falling_powers(Decimal(0), Decimal(1) / (1 << _STEP_BITS), n_steps + 1)
        ]
    value = _as_specified(_frozen(values), "sigmoid")
    return value, _frozen([*np.diff(value).tolist(), 0])


def _falling_powers(exponent: Decimal, step: Decimal, count: int) -> Iterator[Decimal]:
    """Yield exp(exponent), exp(exponent - step), ...: one product each instead of one exp."""
    power, ratio = _EXACT.exp(exponent), _EXACT.exp(-step)
    for _ in range(count):
        yield power
        power = _EXACT.multiply(power, ratio)


def _to_fixed_point(value: Decimal, bits: int) -> int:
    return int(_EXACT.multiply(value, Decimal(1 << bits)).to_integral_value(ROUND_HALF_EVEN))


def _as_specified(
    table: Int64[np.ndarray, " n"], name: str | tuple[int, int, int]
) -> Int64[np.ndarray, " n"]:
    """Return a table; one that files depend on is never used, nor kept, with other numbers."""
    found = zlib.crc32(table.astype("<i8").tobytes())
    if found != _CHECKSUMS.get(name, found):
        raise IrecError(
            f"the table {name} of the pixel coder came out wrong on this machine; nothing was "
            "coded with it: please report this"
        )
    return table


def _frozen(values: list[int]) -> Int64[np.ndarray, " n"]:
    table = np.array(values, dtype=np.int64)
    table.setflags(write=False)
    return table
