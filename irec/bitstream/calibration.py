"""How a file corrects what a model says of its pixels, where the image is unlike those of training.

A network that learned from sharp photographs is too sure of grainy ones, and not sure enough of
smooth ones. So each phase of a lattice file begins with a calibration: a few small whole numbers by
which all mixtures of the phase are widened, shifted and weighted anew. They act on the rounded
parameters in integer arithmetic, so that encoder and decoder cannot differ, and stand in the
pixels' stream, one phase's as its difference from that of the phase before.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Int32

from irec.bitstream.decisions import DECISION_BITS
from irec.bitstream.grid import (
    BASE_BITS,
    COUPLING_GRID,
    LOG_SCALE_GRID,
    LOGIT_GRID,
    MEAN_GRID,
    Grid,
    QuantisedParameters,
)
from irec.bitstream.residual import ResidualDecoder, ResidualEncoder
from irec.errors import CorruptFileError

#: The numbers of a calibration are whole, and lie within this of zero.
MAX_STEPS = 31
#: Binary places of a step of log-scales (nats), couplings (grey levels per grey level) and gains.
LOG_SCALE_BITS = 4
COUPLING_BITS = 5
GAIN_BITS = 4
# Most phases of most images keep the calibration of the phase before: chance of a change.
_CHANGE = 1 << (DECISION_BITS - 4)
_EVEN = 1 << (DECISION_BITS - 1)
# Fields that mean something where red alone is coded.
_OF_GREY = ("red_scale", "scale_gain", "mean_gain", "weight_gain")


class Calibration(NamedTuple):
    """Corrections of a phase's mixtures, in steps; all zero leave the mixtures as they are.

    Attributes:
        red_scale: Added to red's log-scales.
        green_scale: Likewise.
        blue_scale: Likewise.
        scale_gain: Log-scales are multiplied by one and this.
        green_from_red: Added to the coupling.
        blue_from_red: Likewise.
        blue_from_green: Likewise.
        mean_gain: Distances of means from the classical prediction are multiplied by one and this.
        weight_gain: Logarithms of the components' weights likewise.
    """

    red_scale: int = 0
    green_scale: int = 0
    blue_scale: int = 0
    scale_gain: int = 0
    green_from_red: int = 0
    blue_from_red: int = 0
    blue_from_green: int = 0
    mean_gain: int = 0
    weight_gain: int = 0

    @staticmethod
    def fields(n_channels: int) -> Sequence[str]:
        """Names of the fields that are sent for pixels of so many channels."""
        return _OF_GREY if n_channels == 1 else Calibration._fields

    def apply(self, parameters: QuantisedParameters) -> QuantisedParameters:
        """Return a phase's mixtures as corrected."""
        if not any(self):
            return parameters
        n_channels = parameters.shape[0]
        scales = np.array(self[:n_channels], np.int32)[:, None, None]
        base = parameters.base << (MEAN_GRID.unit_bits - BASE_BITS)
        log_scale = _amplified(parameters.log_scale, self.scale_gain)
        log_scale += scales << (LOG_SCALE_GRID.unit_bits - LOG_SCALE_BITS)
        coupling, logit = parameters.coupling, parameters.logit
        if coupling is not None:
            steps = np.array(self[4:7], np.int32)[:, None, None]
            coupling = coupling + (steps << (COUPLING_GRID.unit_bits - COUPLING_BITS))
            coupling = _within(COUPLING_GRID, coupling)
        if logit is not None:
            logit = _within(LOGIT_GRID, _amplified(logit, self.weight_gain))
        return replace(
            parameters,
            mean=_within(MEAN_GRID, base + _amplified(parameters.mean - base, self.mean_gain)),
            log_scale=_within(LOG_SCALE_GRID, log_scale),
            coupling=coupling,
            logit=logit,
        )

    def n_bits(self, before: "Calibration", n_channels: int) -> float:
        """Return what :meth:`write` costs."""
        chance = _CHANGE / (1 << DECISION_BITS)
        if self == before:
            return -math.log2(1.0 - chance)
        return len(self._changes(before, n_channels)) - math.log2(chance)

    def write(self, encoder: ResidualEncoder, before: "Calibration", n_channels: int) -> None:
        """Append to the pixels' stream of 1 or 3 channels; `before` is the phase before's."""
        encoder.add_bit(self != before, _CHANGE)
        if self != before:
            for bit in self._changes(before, n_channels):
                encoder.add_bit(bit, _EVEN)

    @classmethod
    def read(
        cls, decoder: ResidualDecoder, before: "Calibration", n_channels: int
    ) -> "Calibration":
        """Undo :meth:`write`; raises CorruptFileError where no encoder writes such numbers."""
        if not decoder.next_bit(_CHANGE):
            return before
        values = {
            name: getattr(before, name) + _unfolded(_read_gamma(decoder))
            for name in cls.fields(n_channels)
        }
        if max(abs(value) for value in values.values()) > MAX_STEPS:
            raise CorruptFileError("a calibration is out of range")
        return cls(**values)

    def _changes(self, before: "Calibration", n_channels: int) -> list[bool]:
        """Return the bits that say how this one differs."""
        return [
            bit
            for name in self.fields(n_channels)
            for bit in _gamma_code(_folded(getattr(self, name) - getattr(before, name)))
        ]


def _amplified(values: Int32[np.ndarray, "*n"], gain: int) -> Int32[np.ndarray, "*n"]:
    # Below 2**21 times 2**5.
    return values + (values * gain >> GAIN_BITS)


def _within(grid: Grid, values: Int32[np.ndarray, "*n"]) -> Int32[np.ndarray, "*n"]:
    return np.clip(values, grid.lowest, grid.highest)


def _folded(step: int) -> int:
    """Whole numbers as positive ones: 0, -1, 1, -2 ... as 1, 2, 3, 4 ..."""
    return 2 * step + 1 if step >= 0 else -2 * step


def _unfolded(number: int) -> int:
    return number >> 1 if number % 2 else -(number >> 1)


def _gamma_code(number: int) -> list[bool]:
    """Elias's gamma code: as many zeros as bits follow the leading one, then the number."""
    bits = f"{number:b}"
    return [bit == "1" for bit in "0" * (len(bits) - 1) + bits]


def _read_gamma(decoder: ResidualDecoder) -> int:
    n_more = 0
    while not decoder.next_bit(_EVEN):
        n_more += 1
        if n_more > (4 * MAX_STEPS).bit_length():
            raise CorruptFileError("a calibration is out of range")
    number = 1
    for _ in range(n_more):
        number = 2 * number + decoder.next_bit(_EVEN)
    return number
