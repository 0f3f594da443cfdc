"""Where n values stand in the dyadic tree over 0 .. 255, and the chances of the next decisions.

All in integers: the distribution functions of mixtures of logistics, from the tables of
:mod:`irec.bitstream.logistic`, with a little of a uniform distribution mixed in.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Int32, Int64

from irec.bitstream.grid import BASE_BITS, COUPLING_GRID, LOGIT_GRID
from irec.bitstream.logistic import (
    ARGUMENT_BITS,
    INVERSE_SCALE_BITS,
    ONE,
    inverse_scale_table,
    logistic_cdf,
)

N_LEVELS = 8
_FLOOR = ONE >> 26
_TOTAL = ONE + 256 * _FLOOR
DECISION_BITS = 20
# A wrong but certain decision costs at most 16 bits, a right one at least 2.2e-5 bits.
_MIN_DECISION = 1 << (DECISION_BITS - 16)
# As many binary places as products of couplings and errors have.
LOCATION_BITS = COUPLING_GRID.unit_bits + BASE_BITS
_WEIGHT_BITS = 16


def weights_of(
    logit: Int32[np.ndarray, "k h w"] | None, where: slice
) -> Int64[np.ndarray, "k n"] | None:
    """Weights of the components, units of 2**-_WEIGHT_BITS, whose sum is exactly one."""
    if logit is None:
        return None
    table = inverse_scale_table(0, -LOGIT_GRID.lowest, LOGIT_GRID.unit_bits)
    # The largest logit is rounded too, to at most a step above zero.
    flat = logit.reshape(len(logit), -1)[:, where]
    return _normalised(table.take(np.maximum(-flat, 0)))


def _normalised(shares: Int64[np.ndarray, "k n"]) -> Int64[np.ndarray, "k n"]:
    """Shares, below 2**47 each, as weights; what rounding leaves over goes to the first."""
    total = np.maximum(shares.sum(0), 1)
    weights = (shares << _WEIGHT_BITS) // total
    weights[0] += (1 << _WEIGHT_BITS) - weights.sum(0)
    return weights


class Node:
    """Where n values stand in the dyadic tree over 0 .. 255, and what lies below each.

    Attributes:
        edge: The node's lower edge, in bins: at its leaf the value itself.
    """

    def __init__(
        self,
        location: Int64[np.ndarray, "k n"],
        inverse_scale: Int64[np.ndarray, "k n"],
        weight: Int64[np.ndarray, "k n"] | None,
    ) -> None:
        """Start at the root."""
        n = location.shape[1]
        self._location = location
        self._inverse_scale = inverse_scale
        self._weight = weight
        self.edge = np.zeros(n, np.int64)
        # F' at the lower and the upper edge, and F of each component.
        self._low, self._high = np.zeros(n, np.int64), np.full(n, _TOTAL)
        self._lows, self._highs = np.zeros_like(location), np.full_like(location, ONE)

    def descend(
        self, exchange: Callable[[int, Int64[np.ndarray, " n"]], Int32[np.ndarray, " n"]]
    ) -> None:
        """Goes down to the leaves, asking for one decision after the other."""
        for level in range(N_LEVELS):
            half = 1 << (N_LEVELS - 1 - level)
            middles = _distribution_functions(self.edge + half, self._location, self._inverse_scale)
            middle = self._mixed(middles) + (self.edge + half) * _FLOOR
            ones = ((self._high - middle) << DECISION_BITS) // (self._high - self._low)
            np.clip(ones, _MIN_DECISION, (1 << DECISION_BITS) - _MIN_DECISION, out=ones)
            bits = exchange(level, ones)
            is_upper = bits != 0
            np.copyto(self._low, middle, where=is_upper)
            np.copyto(self._high, middle, where=~is_upper)
            if self._weight is not None:
                np.copyto(self._lows, middles, where=is_upper)
                np.copyto(self._highs, middles, where=~is_upper)
            self.edge += half * bits

    def weights_of_leaf(self) -> Int64[np.ndarray, "k n"]:
        """Return the components' weights given the values, for the pixels' next channel."""
        assert self._weight is not None
        # Below 2**49, which two places bring below 2**47.
        return _normalised(self._weight * (self._highs - self._lows + 1) >> 2)

    def _mixed(self, functions: Int64[np.ndarray, "k n"]) -> Int64[np.ndarray, " n"]:
        if self._weight is None:
            return functions[0]
        return (functions * self._weight).sum(0) >> _WEIGHT_BITS


def _distribution_functions(
    edge: Int64[np.ndarray, " n"],
    location: Int64[np.ndarray, "k n"],
    inverse_scale: Int64[np.ndarray, "k n"],
) -> Int64[np.ndarray, "k n"]:
    """F of each component between bins edge - 1 and edge, in units of 2**-32.

    No overflow: the distance is below 2**12 grey levels or 2**29 units, the inverse scale below
    e**5.04 or 2**33.3 units, and the product is in units of 2**-43.
    """
    argument = ((2 * edge - 1) << (LOCATION_BITS - 1)) - location
    argument *= inverse_scale
    argument >>= LOCATION_BITS + INVERSE_SCALE_BITS - ARGUMENT_BITS
    return logistic_cdf(argument)
