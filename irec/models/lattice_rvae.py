"""The lattice RVAE: pixels in phases from coarse to fine, latent tensors where they pay.

    top -> coarsest pixels -> level 5 -> ... -> level 1 -> level 0, the finest
                              each: [latent block] -> three phases of pixels -> finer features

Like the RVAE's (:mod:`irec.models.rvae`), its generative pass asks a latent source for each latent
tensor; it also asks a pixel source for the pixels of each phase (:mod:`irec.models.lattice`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Normal
from torch.nn import functional

from irec.errors import InvalidParameterError
from irec.models.exact import ExactConv2d, activation, full_precision, on_grid
from irec.models.lattice import N_RAW, Level, like, mixture_of
from irec.models.likelihoods import LogisticParameters
from irec.models.sources import LatentSource, PixelSource, Place

# Levels of the lattice: the coarsest pixels lie 64 apart. Levels beyond the last of
# `blocks_per_level` share its weights, since coarse images look alike.
N_LEVELS = 6
# Grids of the prior's log-scale and scale, in float64.
_LOG_SCALE_BITS = 6
_SCALE_BITS = 20


@dataclass(frozen=True)
class LatticeRVAEConfig:
    """Size of a lattice RVAE.

    Attributes:
        channels: Of the features that run through all phases and levels.
        n_components: Of each pixel's mixture of logistics.
        blocks_per_level: Residual blocks in each phase of the finest level, the next, and so on;
            all further levels share the last one's weights.
        latent_levels: Levels that begin with a latent tensor, the coarsest first.
        latent_channels: Stochastic channels of each.
    """

    channels: int = 64
    n_components: int = 4
    blocks_per_level: Sequence[int] = (1, 2, 2)
    latent_levels: Sequence[int] = ()
    latent_channels: int = 8

    def __post_init__(self) -> None:
        """Check the levels.

        Raises:
            InvalidParameterError: There are too few or too many, or latents out of order.
        """
        # JSON and YAML know lists only.
        object.__setattr__(self, "blocks_per_level", tuple(self.blocks_per_level))
        object.__setattr__(self, "latent_levels", tuple(self.latent_levels))
        if not 2 <= len(self.blocks_per_level) <= N_LEVELS:
            raise InvalidParameterError(
                f"blocks_per_level {self.blocks_per_level}: give 2 to {N_LEVELS} numbers"
            )
        expected = tuple(sorted(set(self.latent_levels), reverse=True))
        if self.latent_levels != expected or not set(expected) <= set(range(N_LEVELS)):
            raise InvalidParameterError(
                f"latent_levels {self.latent_levels}: falling numbers below {N_LEVELS} are needed"
            )


class LatentBlock(nn.Module):
    """One latent tensor at the resolution of a level's cells."""

    def __init__(self, channels: int, latent: int, stride: int) -> None:
        """Set up prior, posterior and the way back into the features; `stride` is in pixels."""
        super().__init__()
        self.stride = stride
        self.prior = ExactConv2d(channels, 2 * latent, 1)
        self.look = nn.Conv2d(3 * stride * stride, channels, 1)
        self.infer = nn.Conv2d(2 * channels, 2 * latent, 3, padding=1)
        self.back = ExactConv2d(latent, channels, 1)
        nn.init.zeros_(self.prior.weight)
        nn.init.normal_(self.back.weight, std=0.05)

    def forward(
        self,
        h: Float[Tensor, "n c h w"],
        source: LatentSource,
        tensor: int,
        image: Float[Tensor, "n 3 _h _w"] | None,
    ) -> Float[Tensor, "n c h w"]:
        """Features that know z.

        Args:
            h: Features of the cells.
            source: Of z.
            tensor: Index of z among the model's latent tensors.
            image: Whole numbers 0 .. 255, or None where no image is at hand.
        """
        mean, raw = full_precision(self.prior(activation(h))).chunk(2, dim=1)
        posterior = None
        if image is not None:
            seen = self.look(like(_cells(image, self.stride), h))
            delta = self.infer(activation(torch.cat([seen, h], dim=1)))
            delta_mean, delta_raw = full_precision(delta).chunk(2, dim=1)
            posterior = _normal(mean + delta_mean, raw + delta_raw)
        z = source(_normal(mean, raw), posterior, tensor)
        return h + self.back(like(on_grid(z), h))


class LatticeRVAE(nn.Module):
    """Lossless model of RGB images of any height and width; grey ones have three equal colours."""

    # Any height and width is fine: the border may cut cells.
    stride = 1

    def __init__(self, config: LatticeRVAEConfig) -> None:
        """Build the network that `config` describes."""
        super().__init__()
        self.config = config
        channels = config.channels
        self.top = nn.Parameter(torch.zeros(channels))
        self.grey = nn.Parameter(torch.zeros(channels))
        self.coarsest = nn.Parameter(torch.zeros(2, N_RAW))
        self.levels = nn.ModuleList(
            Level(channels, n_blocks, config.n_components, is_finest=index == 0)
            for index, n_blocks in enumerate(config.blocks_per_level)
        )
        self.latents = nn.ModuleDict(
            {
                str(level): LatentBlock(channels, config.latent_channels, 2 ** (level + 1))
                for level in config.latent_levels
            }
        )

    @property
    def n_latent_tensors(self) -> int:
        """How often a generative pass asks its latent source."""
        return len(self.config.latent_levels)

    def generate(
        self,
        latents: LatentSource,
        pixels: PixelSource,
        size: tuple[int, int],
        is_grey: Float[Tensor, " n"],
        image: Float[Tensor, "n 3 h w"] | None = None,
    ) -> Float[Tensor, "n 3 h w"]:
        """Top-down pass, the same for training, sampling, encoding and decoding.

        Args:
            latents: Asked for every latent tensor, from coarse to fine.
            pixels: Asked for the pixels of every phase.
            size: Height and width of the images.
            is_grey: 1 for each image whose three colours are equal, else 0.
            image: What posteriors look at; None where no image is at hand.

        Returns:
            The images that the pixel source chose.
        """
        height, width = size
        # Upper left pixels of 2x2 cells are an image of half the size, rounded up.
        strides = [2**level for level in range(N_LEVELS + 1)]
        sizes = [(math.ceil(height / s), math.ceil(width / s)) for s in strides]
        n = len(is_grey)
        h = (self.top + is_grey[:, None] * self.grey)[:, :, None, None]
        h = h.expand(n, -1, *sizes[-1])
        if torch.is_autocast_enabled(h.device.type):
            h = h.to(torch.get_autocast_dtype(h.device.type))
        known = pixels(self._coarsest(n, sizes[-1]), Place(2**N_LEVELS, 0, 0))
        for level in reversed(range(N_LEVELS)):
            layers: Level = self.levels[min(level, len(self.levels) - 1)]  # type: ignore[assignment]
            if str(level) in self.latents:
                index = self.config.latent_levels.index(level)
                h = self.latents[str(level)](h, latents, index, image)
            h, known = layers(h, known, pixels, 2**level, sizes[level])
            if level > 0:
                h = layers.finer(h, sizes[level])
        return known

    def _coarsest(self, n: int, size: tuple[int, int]) -> LogisticParameters:
        """Mixtures of pixels about which nothing is known: two components, learned."""
        raw = self.coarsest.view(1, 2, N_RAW, 1, 1).expand(n, -1, -1, *size)
        base = raw.new_full((n, 3, *size), 128.0)
        apart = (80.0 * torch.arange(2, device=raw.device) - 40.0).view(1, 2, 1, 1, 1)
        return mixture_of(raw, base, 128.0 + apart, 64.0, 3.0)


def _cells(image: Tensor, stride: int) -> Tensor:
    """Each cell's pixels as channels, [n, 3 stride^2, h, w], the border repeated."""
    height, width = image.shape[2:]
    image = functional.pad(image, (0, -width % stride, 0, -height % stride), mode="replicate")
    return functional.pixel_unshuffle(image / 128.0 - 1.0, stride)


def _normal(mean: Tensor, raw_scale: Tensor) -> Normal:
    """Return a diagonal Gaussian whose log-scale stays within +-6.

    In float64 both it and its exponential are rounded: libraries differ by an ulp in exp, which at
    these 769 arguments is far from a rounding boundary.
    """
    scale = torch.exp(on_grid(raw_scale.clamp(-6.0, 6.0), _LOG_SCALE_BITS))
    return Normal(mean, on_grid(scale, _SCALE_BITS), validate_args=False)
