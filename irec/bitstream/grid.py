"""Likelihood parameters on a fixed grid, where float64 of two machines meet in equal integers.

A generative pass in float64 drifts by about 1e-13 of a value's size between machines (order of
summation, fused multiply-adds, another libm). Rounding to a grid removes the drift, unless a value
lies within it of a rounding boundary. The encoder looks for such values and, where it finds one,
shifts the grid by sixteenths of a step until there is none; the shift is part of the file.

Drift bounds, absolute, leave a factor of nine or more: means reach 255 grey levels, which drift by
2.6e-11 against a bound of 2**-32 = 2.3e-10; log-scales reach 5, 5e-13 against 2**-34 = 5.8e-11;
coupling coefficients are near 1, 1e-13 against 2**-36 = 1.5e-11. With the steps below a 512x512 RGB
tile holds 0.023 + 0.003 + 0.047 unsafe values in the mean: 93 % of tiles take offset 0, and all
sixteen offsets fail once in 10**18.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int32

from irec.errors import InvalidParameterError

N_OFFSETS = 16
_OFFSET_BITS = 4


@dataclass(frozen=True)
class Grid:
    """A uniform rounding grid for one kind of parameter.

    Rounded values are held in sixteenths of a step, ``unit_bits`` binary places, because the centre
    of a cell of the shifted grid is a multiple of that.

    Attributes:
        low: Values below are clamped to it.
        high: Values above are clamped to it.
        step_bits: The step is 2**-step_bits.
        drift_bound: Absolute; two machines' values differ by less.
    """

    low: float
    high: float
    step_bits: int
    drift_bound: float

    @property
    def unit_bits(self) -> int:
        """Binary places of the rounded integers."""
        return self.step_bits + _OFFSET_BITS

    @property
    def lowest(self) -> int:
        """The least integer that ``quantise`` returns, in units of 2**-unit_bits."""
        return int(self.low * (1 << self.unit_bits)) - N_OFFSETS

    @property
    def highest(self) -> int:
        """The greatest integer that ``quantise`` returns, in units of 2**-unit_bits."""
        return int(self.high * (1 << self.unit_bits)) + N_OFFSETS

    def quantise(self, values: Float64[np.ndarray, "..."], offset: int) -> Int32[np.ndarray, "..."]:
        """Round to the centre of the nearest cell of the grid shifted by offset / 16 of a step."""
        cells = np.floor(self._cell_coordinate(values, offset))
        return cells.astype(np.int32) * N_OFFSETS - offset

    def is_safe(self, values: Float64[np.ndarray, "..."], offset: int) -> bool:
        """Whether no value lies within the drift bound of a rounding boundary."""
        coordinate = self._cell_coordinate(values, offset)
        distance = np.abs(coordinate - np.rint(coordinate))
        return bool((distance > self.drift_bound * (1 << self.step_bits)).all())

    def _cell_coordinate(
        self, values: Float64[np.ndarray, "..."], offset: int
    ) -> Float64[np.ndarray, "..."]:
        # The factor is a power of two, hence exact; the sum rounds at 2**-37 of a step or finer.
        scaled = np.clip(values, self.low, self.high) * (1 << self.step_bits)
        return scaled + (0.5 + offset / N_OFFSETS)


#: Grey levels. Far outside 0..255 only the open end bins have mass, and nothing changes any more.
MEAN_GRID = Grid(low=-512.0, high=767.0, step_bits=6, drift_bound=2.0**-32)
#: Natural logarithm of the scale in grey levels.
LOG_SCALE_GRID = Grid(low=-5.0, high=5.0, step_bits=5, drift_bound=2.0**-34)
#: Grey levels per grey level.
COUPLING_GRID = Grid(low=-4.0, high=4.0, step_bits=11, drift_bound=2.0**-36)


#: Natural logarithm of a component's weight relative to the largest; e**-12 of the mass is none.
LOGIT_GRID = Grid(low=-12.0, high=0.0, step_bits=5, drift_bound=2.0**-34)
#: Binary places of the prediction from which couplings count: the mean of four grey levels.
BASE_BITS = 2
_MIDDLE = 127.5


@dataclass(frozen=True)
class LogisticParameters:
    """What the network says about an image: mixtures of discretised logistics.

    With linear channel autoregression (PixelCNN++, arXiv 1701.05517): in each component green's
    mean is mean[1] + coupling[0] * (R - base[0]), blue's is
    mean[2] + coupling[1] * (R - base[0]) + coupling[2] * (G - base[1]).

    Attributes:
        mean: Shape [K, C, H, W], grey levels; C is 3 (RGB) or 1 (grey). [C, H, W] is taken as one
            component, here and below.
        log_scale: Shape [K, C, H, W], natural logarithm of the scale in grey levels.
        coupling: Shape [K, 3, H, W], or None for independent channels.
        logit: Shape [K, H, W], logarithms of the components' weights up to a constant, or None
            where there is one component.
        base: Shape [C, H, W], multiples of 1/4 grey level; None stands for 127.5.

    Raises:
        InvalidParameterError: A wrong shape or dtype, or a value that is not finite.
    """

    mean: Float64[np.ndarray, "*k c h w"]
    log_scale: Float64[np.ndarray, "*k c h w"]
    coupling: Float64[np.ndarray, "*k 3 h w"] | None = None
    logit: Float64[np.ndarray, "k h w"] | None = None
    base: Float64[np.ndarray, "c h w"] | None = None

    def __post_init__(self) -> None:
        """Check shapes, dtypes and finiteness."""
        for name in ("mean", "log_scale", "coupling"):
            values = getattr(self, name)
            if values is not None and values.ndim == 3:
                object.__setattr__(self, name, values[None])
        shape = self.mean.shape
        if len(shape) != 4 or shape[1] not in (1, 3) or 0 in shape:
            raise InvalidParameterError(f"means of shape {shape}; [K, 1 or 3, H, W] is expected")
        if self.logit is None and shape[0] != 1:
            raise InvalidParameterError(f"no logits for {shape[0]} components")
        for name, expected in (
            ("mean", shape),
            ("log_scale", shape),
            ("coupling", shape if shape[1] == 3 else None),
            ("logit", (shape[0], *shape[2:])),
            ("base", shape[1:]),
        ):
            values = getattr(self, name)
            if values is None:
                continue
            if values.shape != expected:
                raise InvalidParameterError(f"{name} {values.shape}, means {shape}")
            if values.dtype != np.float64:
                # float32 drifts far beyond the bounds above: no decoder could follow.
                raise InvalidParameterError(f"{name} is {values.dtype}; float64 is needed")
            if not np.isfinite(values).all():
                raise InvalidParameterError(f"{name} holds NaN or infinite values")

    @property
    def gridded(self) -> Iterator[tuple[Grid, Float64[np.ndarray, "..."]]]:
        """The fields that are rounded, each with its grid."""
        yield MEAN_GRID, self.mean
        yield LOG_SCALE_GRID, self.log_scale
        if self.coupling is not None:
            yield COUPLING_GRID, self.coupling
        if self.logit is not None:
            yield LOGIT_GRID, self.logit - self.logit.max(0)


@dataclass(frozen=True)
class QuantisedParameters:
    """``LogisticParameters`` as integers; each field in units of 2**-unit_bits of its grid.

    Attributes:
        mean: Shape [K, C, H, W].
        log_scale: Likewise.
        coupling: Shape [K, 3, H, W], or None.
        logit: Shape [K, H, W], relative to the largest, or None for one component.
        base: Shape [C, H, W], units of 2**-BASE_BITS.
    """

    mean: Int32[np.ndarray, "k c h w"]
    log_scale: Int32[np.ndarray, "k c h w"]
    coupling: Int32[np.ndarray, "k 3 h w"] | None
    logit: Int32[np.ndarray, "k h w"] | None
    base: Int32[np.ndarray, "c h w"]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height, width."""
        _, n_channels, height, width = self.mean.shape
        return n_channels, height, width


def quantise(parameters: LogisticParameters, grid_offset: int) -> QuantisedParameters:
    """Round likelihood parameters of one tile to the grid.

    The rounding costs about 0.002 % of the rate on logistic data with scales of 0.5 to 8 grey
    levels; tests/bitstream/test_grid.py holds it under 0.02 %.

    Args:
        parameters: Of the tile.
        grid_offset: Sixteenths of a step by which the grid is shifted; 0 to 15, or it is an
            InvalidParameterError.
    """
    if not 0 <= grid_offset < N_OFFSETS:
        raise InvalidParameterError(f"grid offset {grid_offset}; 0 to {N_OFFSETS - 1} are possible")
    rounded = {grid: grid.quantise(values, grid_offset) for grid, values in parameters.gridded}
    shape = parameters.mean.shape[1:]
    base = np.full(shape, _MIDDLE) if parameters.base is None else parameters.base
    return QuantisedParameters(
        mean=rounded[MEAN_GRID],
        log_scale=rounded[LOG_SCALE_GRID],
        coupling=rounded.get(COUPLING_GRID),
        logit=rounded.get(LOGIT_GRID),
        base=np.rint(base * (1 << BASE_BITS)).astype(np.int32),
    )


def safe_grid_offset(parameters: LogisticParameters) -> int:
    """Return the first safe offset, 0 to 15, which the encoder stores with the tile.

    With it, every machine whose parameters agree within the drift bounds rounds to the same.

    Raises:
        InvalidParameterError: There is none: the tile is too large by orders of magnitude, or
            the values were made to lie on boundaries.
    """
    for grid_offset in range(N_OFFSETS):
        if all(grid.is_safe(values, grid_offset) for grid, values in parameters.gridded):
            return grid_offset
    raise InvalidParameterError(
        f"no grid offset is safe for a tile of {math.prod(parameters.mean.shape)} values; "
        "use smaller tiles"
    )
