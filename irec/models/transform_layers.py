"""The networks of the transform VAE (:mod:`irec.models.transform_vae`), top to bottom."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Normal
from torch.nn import functional

from irec.models.block_transform import BLOCK, BLOCK_DIMS
from irec.models.exact import full_precision, shifted_products
from irec.models.lossy_model import AnchorTable, Distortion, GainUnit, check_ascending
from irec.models.sources import LatentSource

CELL = 4

# What networks see and say saturates, in standard deviations, so that no image, however odd, can
# drive the tensors of one level to drive those of the next ever further.
_SATURATION = 12.0
# Bounds of the logarithm of the ratio of z2's posterior scale to the usual.
_MIN_RAW, _MAX_RAW = -4.0, 2.0
_ENERGY_FLOOR = 0.01
_SLOPE = 0.1


@dataclass(frozen=True)
class TransformVAEConfig:
    """Size and qualities of a transform VAE.

    Attributes:
        slices: Ends of the slices of z1's channels, ascending; the last is their number.
        interleaved: How many slices, from the first, are sent in two halves like the colours of
            a chessboard, the second given the first.
        hyper_channels: Of z2, at 1/64 of the resolution.
        state_channels: Of what the priors know, at 1/16.
        residual_channels: Of the synthesis's correction, at 1/4.
        lambdas: Trade-offs lambda of 255^2 lambda MSE + bits per pixel, ascending: the anchors.
        distortion: What the model was trained on: "mse" or "ms_ssim".
    """

    slices: Sequence[int] = (3, 12, 36, 80, 140, 220, 320)
    interleaved: int = field(default=2, metadata={"least": 0})
    hyper_channels: int = 32
    state_channels: int = 128
    residual_channels: int = 96
    lambdas: Sequence[float] = (0.001, 0.003, 0.01, 0.03, 0.08, 0.2)
    distortion: Distortion = "mse"

    def __post_init__(self) -> None:
        """Check slices and lambdas."""
        check_ascending(self, "slices", "lambdas")

    @property
    def latent_channels(self) -> int:
        """Channels of z1."""
        return self.slices[-1]

    @property
    def bounds(self) -> list[tuple[int, int]]:
        """First channel of each slice, and the one after its last."""
        return list(itertools.pairwise((0, *self.slices)))


def _activation(x: Tensor) -> Tensor:
    return functional.leaky_relu(x, _SLOPE)


def _normal(mean: Tensor, scale: Tensor) -> Normal:
    return Normal(mean, scale, validate_args=False)


def saturated(x: Tensor) -> Tensor:
    """Return the identity near zero, but never beyond the saturation."""
    return x * torch.rsqrt(1.0 + (x / _SATURATION).square())


class Conv3x3(nn.Conv2d):
    """A 3x3 convolution; on a processor, in float64, by products that need no copy nine-fold."""

    def __init__(
        self, n_in: int, n_out: int, padding_mode: Literal["zeros", "replicate"] = "zeros"
    ) -> None:
        """Set up the weights; beyond the border everything is as `padding_mode` says."""
        super().__init__(n_in, n_out, 3, padding=1, padding_mode=padding_mode)

    def forward(self, x: Float[Tensor, "n i h w"]) -> Float[Tensor, "n o h w"]:
        """Convolve."""
        if x.dtype != torch.float64 or x.device.type != "cpu":
            return super().forward(x)
        mode = "replicate" if self.padding_mode == "replicate" else "constant"
        padded = functional.pad(x, (1, 1, 1, 1), mode).permute(0, 2, 3, 1).contiguous()
        assert self.bias is not None
        return shifted_products(padded, self.weight, self.bias).permute(0, 3, 1, 2)


def near(n_in: int, n_out: int) -> Conv3x3:
    """Return a 3x3 convolution that repeats the border."""
    return Conv3x3(n_in, n_out, "replicate")


def _zero(layer: nn.Conv2d) -> nn.Conv2d:
    nn.init.zeros_(layer.weight)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer


@dataclass(frozen=True)
class ChannelPrior:
    """The prior of coefficients that are sent through a Gaussian test channel.

    Attributes:
        mean: Of the prior.
        log_signal: Logarithm of the prior's variance, in units of the water level.
        log_water: Logarithm of the water level: the channel's noise.
    """

    mean: Float[Tensor, "n c h w"]
    log_signal: Float[Tensor, "n c h w"]
    log_water: Float[Tensor, "n c h w"]

    def half(self, which: int) -> "ChannelPrior":
        """Of the positions of one colour of the chessboard."""
        parts = (self.mean, self.log_signal, self.log_water)
        return ChannelPrior(*(halves(part)[which] for part in parts))

    def ask(self, source: LatentSource, y: Tensor | None, tensor: int) -> Tensor:
        """Ask for the coefficients; their posterior is that given `y` as seen through noise."""
        prior = _normal(self.mean, torch.exp(0.5 * (self.log_signal + self.log_water)))
        if y is None:
            return source(prior, None, tensor)
        gain = torch.sigmoid(self.log_signal)
        scale = torch.exp(0.5 * (functional.logsigmoid(self.log_signal) + self.log_water))
        return source(prior, _normal(self.mean + gain * (y - self.mean), scale), tensor)


class Correction(nn.Module):
    """What a network at 1/16 adds to the coefficients: blocks overlap only here."""

    def __init__(self, config: TransformVAEConfig) -> None:
        """Two 3x3 convolutions, and a 1x1 one which starts at zero."""
        super().__init__()
        z, s, anchors = config.latent_channels, config.state_channels, len(config.lambdas)
        self.first, self.second = near(z, s), near(s, s)
        self.rate = GainUnit(s, anchors)
        self.last = _zero(nn.Conv2d(s, z, 1))

    def forward(self, normalised: Tensor, anchor_position: Tensor) -> Tensor:
        """Return the correction, like `normalised` in standard deviations of the coefficients."""
        x = _activation(self.first(normalised))
        x = self.rate(_activation(self.second(x)), anchor_position)
        return full_precision(self.last(x))


class HyperAnalysis(nn.Module):
    """Coefficients to q(z2): energies of slices over 64x64 pixels, and what a network adds."""

    def __init__(self, config: TransformVAEConfig) -> None:
        """Let energies tell the mean, and the network nothing, to begin with."""
        super().__init__()
        z, h, s = config.latent_channels, config.hyper_channels, config.state_channels
        n_energies = len(config.slices) + 3
        self.bounds = config.bounds
        self.energies = nn.Conv2d(n_energies, h, 1)
        self.first = nn.Conv2d(2 * z, s, 1)
        self.second = nn.Conv2d(s, s, 4, stride=2, padding=1)
        self.third = nn.Conv2d(s, s, 4, stride=2, padding=1)
        self.heads = _zero(nn.Conv2d(s, 2 * h, 1))
        self.log_scale = AnchorTable(h, len(config.lambdas))
        nn.init.constant_(self.log_scale.values, math.log(0.3))
        _zero(self.energies)
        with torch.no_grad():
            for i in range(min(h, n_energies)):
                self.energies.weight[i, i] = 1.0 if i < 3 else 0.5

    def forward(self, normalised: Tensor, features: Tensor, anchor_position: Tensor) -> Normal:
        """Return the posterior of z2."""
        squares = normalised.square()
        slices = [squares[:, start:end].mean(1) for start, end in self.bounds]
        pooled = functional.avg_pool2d(torch.stack(slices, 1), 4)
        coarse = functional.avg_pool2d(normalised[:, :3], 4)
        known = torch.cat([coarse, torch.log(pooled + _ENERGY_FLOOR)], 1)
        x = _activation(self.first(features))
        x = _activation(self.third(_activation(self.second(x))))
        mean, raw = full_precision(self.heads(x)).chunk(2, 1)
        mean = saturated(mean + full_precision(self.energies(known)))
        scale = torch.exp(self.log_scale(anchor_position) + raw.clamp(_MIN_RAW, _MAX_RAW))
        return _normal(mean, scale)


class TopPrior(nn.Module):
    """p(z2): the same at every position."""

    def __init__(self, config: TransformVAEConfig) -> None:
        """Set up a mean and a scale for each channel and anchor."""
        super().__init__()
        self.mean = AnchorTable(config.hyper_channels, len(config.lambdas))
        self.log_scale = AnchorTable(config.hyper_channels, len(config.lambdas))

    def forward(self, height: int, width: int, anchor_position: Tensor) -> Normal:
        """Return the prior of z2, `height` x `width` positions for each image."""
        shape = (-1, -1, height, width)
        mean, log_scale = self.mean(anchor_position), self.log_scale(anchor_position)
        return _normal(mean.expand(shape), log_scale.exp().expand(shape))


class HyperSynthesis(nn.Module):
    """z2 to the first state of the priors."""

    def __init__(self, config: TransformVAEConfig) -> None:
        """Two transposed convolutions."""
        super().__init__()
        h, s = config.hyper_channels, config.state_channels
        self.first = nn.ConvTranspose2d(h, s, 4, stride=2, padding=1)
        self.second = nn.ConvTranspose2d(s, s, 4, stride=2, padding=1)
        self.rate = GainUnit(s, len(config.lambdas))

    def forward(self, z2: Tensor, anchor_position: Tensor) -> Tensor:
        """Return the state at 1/16 of the resolution."""
        return self.rate(self.second(_activation(self.first(saturated(z2)))), anchor_position)


class Head(nn.Module):
    """The state to numbers at each position, all zero to begin with."""

    def __init__(self, config: TransformVAEConfig, n_out: int) -> None:
        """Set up a 3x3 convolution and a 1x1 one."""
        super().__init__()
        s = config.state_channels
        self.rate = GainUnit(s, len(config.lambdas))
        self.first = near(s, s)
        self.last = _zero(nn.Conv2d(s, n_out, 1))

    def forward(self, state: Tensor, anchor_position: Tensor) -> Tensor:
        """Numbers for each position, in single precision at least."""
        x = _activation(self.first(_activation(self.rate(state, anchor_position))))
        with torch.autocast(x.device.type, enabled=False):
            return self.last(full_precision(x))


class Deblocking(nn.Module):
    """The inverse transform's blocks to the image, corrected across their borders at 1/4."""

    def __init__(self, config: TransformVAEConfig) -> None:
        """Two heads of the state, and four 3x3 convolutions, of which the last starts at zero."""
        super().__init__()
        c, anchors = config.residual_channels, len(config.lambdas)
        self.head = Head(config, BLOCK_DIMS)
        self.side = Head(config, BLOCK**2)
        self.first = Conv3x3(3 * CELL**2 + BLOCK, c)
        self.second = Conv3x3(c, c)
        self.third = Conv3x3(c, c)
        self.last = _zero(Conv3x3(c, 3 * CELL**2))
        self.rates = nn.ModuleList([GainUnit(c, anchors) for _ in range(2)])
        nn.init.normal_(self.side.last.weight, std=0.05)

    def forward(self, blocks: Tensor, state: Tensor, anchor_position: Tensor) -> Tensor:
        """Return the image in grey levels, [n, 3, h, w], neither rounded nor clipped."""
        cells = _cells(blocks + self.head(state, anchor_position))
        side = functional.pixel_shuffle(self.side(state, anchor_position), CELL)
        x = self.rates[0](self.first(torch.cat([4.0 * cells, side], 1)), anchor_position)
        x = x + self.third(_activation(self.second(_activation(x))))
        x = self.last(_activation(self.rates[1](x, anchor_position)))
        # Half precision ends here: it holds 256 grey levels with an error of half a level.
        return 255.0 * (functional.pixel_shuffle(cells + full_precision(x), CELL) + 0.5)


def _cells(blocks: Float[Tensor, "n 768 h w"]) -> Float[Tensor, "n 48 h4 w4"]:
    """16x16 blocks as cells of 4x4 pixels, whose channels are (colour, row, column)."""
    n, _, h, w = blocks.shape
    x = blocks.view(n, 3, 4, 4, 4, 4, h, w)  # colour, cell row, row, cell column, column
    return x.permute(0, 1, 3, 5, 6, 2, 7, 4).reshape(n, 48, 4 * h, 4 * w)


def halves(x: Float[Tensor, "n c h w"]) -> tuple[Tensor, Tensor]:
    """Return the positions of a chessboard's two colours, each [n, 2c, h/2, w/2]."""
    one = torch.cat([x[:, :, 0::2, 0::2], x[:, :, 1::2, 1::2]], 1)
    return one, torch.cat([x[:, :, 0::2, 1::2], x[:, :, 1::2, 0::2]], 1)


def joined(one: Tensor, other: Tensor) -> Float[Tensor, "n c h w"]:
    """Return the inverse of `halves`."""
    (a, d), (b, c) = one.chunk(2, 1), other.chunk(2, 1)
    return functional.pixel_shuffle(torch.stack([a, b, c, d], 2).flatten(1, 2), 2)
