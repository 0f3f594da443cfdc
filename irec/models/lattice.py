"""Pixels in phases: each 2x2 cell's pixels in turn, given all pixels known so far.

An image is a lattice of 2x2 cells; their upper left pixels are an image of half the size, which is
such a lattice again. From a coarsest image on, each :class:`Level` adds the three missing pixels of
its cells, one phase after the other: lower right, upper right, lower left. A phase asks a
:class:`PixelSource` for its pixels between the likelihood and the next phase, as a generative pass
asks a latent source for its latent tensors. So training, sampling, encoding and decoding share one
pass (compare arXiv 1703.03664, 2004.02872).

A phase corrects a classical predictor: its mixture starts as the average of the four nearest known
pixels, its scale as their spread, its corrections are in units of that spread, and the last layer
starts at zero.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from irec.models.exact import ExactConv2d, activation, full_precision, on_grid
from irec.models.likelihoods import MAX_COUPLING, MAX_LOG_SCALE, MIN_LOG_SCALE, LogisticParameters
from irec.models.sources import PixelSource, Place

# Pixel of each 2x2 cell (down, right) that is known first, and those that the phases add.
FIRST = (0, 0)
PHASES = ((1, 1), (0, 1), (1, 0))
# How many known pixels a phase looks at directly; ties at the last distance all count.
_N_NEIGHBOURS = (16, 20, 24)
_N_NEAREST = 4
# Neighbours lie within so many cells.
_REACH = 2
# Of raw mixtures, for each component, see `mixture_of`.
N_RAW = 10
# How green follows red, and blue green, in photographs; blue does not follow red besides.
_USUAL_COUPLING = 0.75
_LOG_ACTIVITY_BITS = 12
# Contexts are worked out so many cells at a time: their 84 differences stay in the cache.
_BAND_CELLS = 2048


class Neighbour(NamedTuple):
    """A known pixel near one that is to be coded: which of the known planes, and cells from it."""

    plane: int
    down: int
    right: int


@functools.cache
def neighbours_of(phase: int) -> list[Neighbour]:
    """Return the known pixels nearest to the one of a phase, nearest first."""
    row, column = PHASES[phase]
    found = []
    for plane, (first_row, first_column) in enumerate((FIRST, *PHASES[:phase])):
        for down in range(-2 * _REACH, 2 * _REACH + 1):
            for right in range(-2 * _REACH, 2 * _REACH + 1):
                dy, dx = row + down - first_row, column + right - first_column
                if dy % 2 == 0 and dx % 2 == 0:
                    neighbour = Neighbour(plane, dy // 2, dx // 2)
                    found.append((down * down + right * right, neighbour))
    found.sort()
    furthest, _ = found[_N_NEIGHBOURS[phase] - 1]
    return [neighbour for distance, neighbour in found if distance <= furthest]


class Context(NamedTuple):
    """What a classical codec would know about a phase's pixels.

    Attributes:
        features: Input of the network, [n, c, h, w].
        base: Mean of the four nearest known pixels, [n, 3, h, w], grey levels.
        log_activity: Logarithm of their spread, [n, 1, h, w].
        unit: Of corrections to the mean, [n, 1, h, w], grey levels.
    """

    features: Tensor
    base: Tensor
    log_activity: Tensor
    unit: Tensor

    @staticmethod
    def n_features(phase: int) -> int:
        """Channels of `features`."""
        return 3 * len(neighbours_of(phase)) + 4


@torch.no_grad()
def context_of(planes: Sequence[Float[Tensor, "n 3 h w"]], phase: int) -> Context:
    """Differences to the known neighbours, and how much these differ among themselves.

    Args:
        planes: Pixels known in each cell: the first, then those of the phases before this one.
        phase: Index into PHASES.
    """
    height, width = planes[0].shape[2:]
    padded = [functional.pad(plane, [_REACH] * 4, mode="replicate") for plane in planes]
    n_rows = max(1, _BAND_CELLS // width)
    bands = [
        _context_of_band(padded, neighbours_of(phase), top, min(top + n_rows, height))
        for top in range(0, height, n_rows)
    ]
    if len(bands) == 1:
        return bands[0]
    return Context(*(torch.cat(parts, 2) for parts in zip(*bands, strict=True)))


def _context_of_band(
    padded: Sequence[Float[Tensor, "n 3 _h _w"]],
    neighbours: Sequence[Neighbour],
    top: int,
    bottom: int,
) -> Context:
    height, width = bottom - top, padded[0].shape[3] - 2 * _REACH
    values = torch.stack(
        [
            padded[plane].narrow(2, _REACH + down + top, height).narrow(3, _REACH + right, width)
            for plane, down, right in neighbours
        ],
        dim=1,
    )  # [n, neighbours, 3, h, w]
    base = values[:, :_N_NEAREST].sum(1) * (1.0 / _N_NEAREST)
    difference = values - base[:, None]
    size = difference.abs()
    activity = size[:, :_N_NEAREST].sum((1, 2)).unsqueeze(1) / (3 * _N_NEAREST)
    spread = 0.5 * activity + 0.5
    log_activity = on_grid(torch.log(spread), _LOG_ACTIVITY_BITS)
    # Much like asinh(difference / 16), by operations that every machine rounds alike.
    squashed = difference / torch.sqrt(16.0 * size + 256.0)
    features = torch.cat([squashed.flatten(1, 2), log_activity, base / 128.0 - 1.0], dim=1)
    return Context(features, base, log_activity, 8.0 * spread)


class Phase(nn.Module):
    """One pixel of each cell: from features and neighbours to a mixture, and new features."""

    def __init__(self, phase: int, channels: int, n_blocks: int, n_components: int) -> None:
        """Set up the layers; `phase` is an index into PHASES, all else as in LatticeRVAEConfig."""
        super().__init__()
        self.phase = phase
        self.n_components = n_components
        self.enter = ExactConv2d(Context.n_features(phase), channels, 1)
        self.wide = nn.ModuleList(ExactConv2d(channels, channels, 3) for _ in range(n_blocks))
        self.narrow = nn.ModuleList(ExactConv2d(channels, channels, 1) for _ in range(n_blocks))
        self.leave = ExactConv2d(channels, n_components * N_RAW, 1)
        for layer in self.narrow:
            nn.init.normal_(layer.weight, std=0.02)  # type: ignore[arg-type]
        nn.init.zeros_(self.leave.weight)
        with torch.no_grad():
            bias = self.leave.bias.zero_().view(n_components, N_RAW)
            bias[:, 0:3] += torch.linspace(-0.02, 0.02, n_components)[:, None]
            bias[:, 3:6] += torch.linspace(-0.7, 0.7, n_components)[:, None]

    def forward(
        self, h: Float[Tensor, "n c h w"], planes: Sequence[Tensor]
    ) -> tuple[Float[Tensor, "n c h w"], LogisticParameters]:
        """Features after this phase, and its pixels' mixtures.

        Args:
            h: Features of the cells.
            planes: As for :func:`context_of`.
        """
        context = context_of(planes, self.phase)
        h = h + self.enter(like(context.features, h))
        for wide, narrow in zip(self.wide, self.narrow, strict=True):
            h = h + narrow(activation(wide(activation(h))))
        raw = self.leave(activation(h))
        return h, self._mixture(full_precision(raw), context)

    def _mixture(self, raw: Tensor, context: Context) -> LogisticParameters:
        n, _, height, width = raw.shape
        log_scale = 0.5 * context.log_activity + 0.3
        return mixture_of(
            raw.reshape(n, self.n_components, N_RAW, height, width),
            context.base,
            context.base[:, None],
            context.unit[:, None],
            log_scale[:, None],
        )


def mixture_of(
    raw: Float[Tensor, "n k 10 h w"],
    base: Float[Tensor, "n 3 h w"],
    mean: Tensor,
    unit: Tensor | float,
    log_scale: Tensor | float,
) -> LogisticParameters:
    """Correct a first guess as a network says.

    Args:
        raw: Of each component three means, three log-scales, three couplings, one logit.
        base: From which couplings count, grey levels.
        mean: First guess, grey levels; like all that follows, it spreads to [n, k, 3, h, w].
        unit: Of corrections to the mean, grey levels.
        log_scale: First guess.
    """
    usual = _usual_coupling(raw.device).view(1, 1, 3, 1, 1)
    return LogisticParameters(
        base=base,
        mean=mean + unit * raw[:, :, 0:3],
        log_scale=(log_scale + raw[:, :, 3:6]).clamp(MIN_LOG_SCALE, MAX_LOG_SCALE),
        coupling=(raw[:, :, 6:9] + usual).clamp(-MAX_COUPLING, MAX_COUPLING),
        logit=raw[:, :, 9],
    )


def _usual_coupling(device: torch.device) -> Float[Tensor, " 3"]:
    """Return the first guess, made where it is used: copies would keep CUDA from recording."""
    return _USUAL_COUPLING * (torch.arange(3, device=device) != 1)


class Level(nn.Module):
    """From the first pixels of 2x2 cells to all four."""

    def __init__(self, channels: int, n_blocks: int, n_components: int, is_finest: bool) -> None:
        """Set up the phases; arguments as for :class:`Phase`; no level follows the finest."""
        super().__init__()
        self.phases = nn.ModuleList(
            Phase(phase, channels, n_blocks, n_components) for phase in range(len(PHASES))
        )
        if not is_finest:
            self.refine = ExactConv2d(channels, 4 * channels, 1)

    def forward(
        self,
        h: Float[Tensor, "n c h w"],
        first: Float[Tensor, "n 3 h w"],
        source: PixelSource,
        stride: int,
        size: tuple[int, int],
    ) -> tuple[Float[Tensor, "n c h w"], Float[Tensor, "n 3 _h _w"]]:
        """Features of the cells, and the image of all their pixels.

        Args:
            h: Features of the cells.
            first: The cells' first pixels.
            source: Of the other pixels.
            stride: Between the image's pixels, in pixels of the finest image.
            size: Height and width of the image.
        """
        planes = [first]
        image = first.new_empty(*first.shape[:2], *size)
        image[..., 0::2, 0::2] = first
        for phase, (row, column) in zip(self.phases, PHASES, strict=True):
            h, parameters = phase(h, planes)
            pixels = source(parameters, Place(2 * stride, row * stride, column * stride))
            image[..., row::2, column::2] = pixels
            planes.append(_complete(pixels, first))
        return h, image

    def finer(
        self, h: Float[Tensor, "n c h w"], size: tuple[int, int]
    ) -> Float[Tensor, "n c _h _w"]:
        """Features of the next level's cells, `size` of them: four for each cell of this one."""
        h = functional.pixel_shuffle(self.refine(h), 2)[..., : size[0], : size[1]]
        return h.contiguous(memory_format=torch.channels_last)


def _complete(pixels: Tensor, first: Tensor) -> Tensor:
    """Pixels of all cells: where the border cuts a cell, its first pixel stands for the others."""
    height, width = pixels.shape[2:]
    if (height, width) == tuple(first.shape[2:]):
        return pixels
    complete = first.clone()
    complete[..., :height, :width] = pixels
    return complete


def like(x: Tensor, h: Tensor) -> Tensor:
    """`x` in the type of `h`, laid out for convolutions."""
    return x.to(h.dtype).contiguous(memory_format=torch.channels_last)
