"""The transform VAE: lossy compression that begins as a block transform with adaptive priors.

A trainable transform of 16x16 blocks gives coefficients y; each is sent through the Gaussian test
channel of its rate (reverse water-filling), with a prior that adapts to the place: its mean and
variance come from the hyper latents and from the slices of channels already sent (channel-
conditional priors, arXiv 2007.08739; the first slices in two interleaved halves, 2103.15306).

    image -> analysis -> y at /16 -> hyper-analysis -> q(z2 | image) at /64
    z2    -> hyper-synthesis -> state;  state -> p(z1 slice | z2, slices before) -> q(slice | y, p)
    slice -> embedding -> state;  all slices -> synthesis -> image
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Normal
from torch.nn import functional

from irec.errors import InvalidParameterError
from irec.models.block_components import BlockComponents
from irec.models.latent_source import LatentSource
from irec.models.lossy_model import POSITION_PIXELS, Distortion, LossyModel
from irec.models.rate_control import RateControl

BLOCK = POSITION_PIXELS
CELL = 4
BLOCK_DIMS = 3 * BLOCK**2

# Least log(variance / water level): below, a coefficient is as good as not sent.
_MIN_LOG_RATIO = -6.0
_MAX_CORRECTION = 8.0
# What networks see and say saturates, in standard deviations, so that no image, however odd, can
# drive the tensors of one level to drive those of the next ever further.
_SATURATION = 12.0
# Bounds of the logarithm of the ratio of z2's posterior scale to the usual.
_MIN_RAW, _MAX_RAW = -4.0, 2.0
_MAGNITUDE_FLOOR = 0.05
_ENERGY_FLOOR = 0.01
_SLOPE = 0.1


@dataclass(frozen=True)
class TransformVAEConfig:
    """Size and rates of a transform VAE.

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
    interleaved: int = 2
    hyper_channels: int = 32
    state_channels: int = 128
    residual_channels: int = 96
    lambdas: Sequence[float] = (0.001, 0.003, 0.01, 0.03, 0.08, 0.2)
    distortion: Distortion = "mse"

    def __post_init__(self) -> None:
        """Check slices and lambdas; JSON and checkpoints hold them as lists."""
        object.__setattr__(self, "slices", tuple(self.slices))
        object.__setattr__(self, "lambdas", tuple(self.lambdas))
        for name, values in (("slices", (0, *self.slices)), ("lambdas", (0.0, *self.lambdas))):
            if len(values) < 2 or any(a >= b for a, b in itertools.pairwise(values)):
                raise InvalidParameterError(f"{name} must be positive and ascending, not {values}")

    @property
    def latent_channels(self) -> int:
        """Channels of z1."""
        return self.slices[-1]


@dataclass(frozen=True)
class TransformEvidence:
    """What the inference pass found: the coefficients, and all of q(z2)."""

    coefficients: Float[Tensor, "n z h w"]
    top: Normal


def _activation(x: Tensor) -> Tensor:
    return functional.leaky_relu(x, _SLOPE)


def _normal(mean: Tensor, scale: Tensor) -> Normal:
    return Normal(mean, scale, validate_args=False)


def _saturated(x: Tensor) -> Tensor:
    """Return the identity near zero, but never beyond the saturation."""
    return x * torch.rsqrt(1.0 + (x / _SATURATION).square())


def _full(x: Tensor) -> Tensor:
    """Out of half precision: likelihoods and pixels need more."""
    return x if x.dtype in (torch.float32, torch.float64) else x.float()


def _near(n_in: int, n_out: int) -> nn.Conv2d:
    return nn.Conv2d(n_in, n_out, 3, padding=1, padding_mode="replicate")


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


class RateTable(nn.Module):
    """A number for each channel, interpolated between its values at the anchors."""

    def __init__(self, channels: int, n_anchors: int) -> None:
        """Start at zero."""
        super().__init__()
        self.values = nn.Parameter(torch.zeros(n_anchors, channels))

    def forward(self, position: Float[Tensor, " n"]) -> Float[Tensor, "n c 1 1"]:
        """Return the numbers of each image's place among the anchors."""
        anchors = torch.arange(len(self.values), device=position.device, dtype=position.dtype)
        weights = (1.0 - (position[:, None] - anchors).abs()).clamp(min=0.0)
        # No matrix product: autocast would take it to half precision.
        values = (weights[:, :, None] * self.values.to(weights.dtype)).sum(1)
        return values[:, :, None, None]


class BlockTransform(nn.Module):
    """The linear transform of 16x16 blocks, both ways; colours are in [-0.5, 0.5]."""

    def __init__(self, channels: int) -> None:
        """Start at random orthonormal vectors; :meth:`TransformVAE.begin_at` knows better ones."""
        super().__init__()
        basis = torch.linalg.qr(torch.randn(BLOCK_DIMS, channels)).Q
        self.forward_basis = nn.Parameter(basis.T.contiguous())
        self.inverse_basis = nn.Parameter(basis.clone())
        self.mean = nn.Parameter(torch.zeros(BLOCK_DIMS))

    def analyse(self, pixels: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n z hb wb"]:
        """Coefficients of each block of grey levels."""
        blocks = functional.pixel_unshuffle(pixels / 255.0 - 0.5, BLOCK)
        centred = blocks - self.mean[:, None, None]
        return functional.conv2d(centred, self.forward_basis[:, :, None, None])

    def synthesise(self, z: Float[Tensor, "n z hb wb"]) -> Float[Tensor, "n 768 hb wb"]:
        """Colours of each block, (colour, row, column) in the channels."""
        return functional.conv2d(z, self.inverse_basis[:, :, None, None], self.mean)


class Correction(nn.Module):
    """What a network at 1/16 adds to the coefficients: blocks overlap only here."""

    def __init__(self, config: TransformVAEConfig) -> None:
        """Two 3x3 convolutions, and a 1x1 one which starts at zero."""
        super().__init__()
        z, s, anchors = config.latent_channels, config.state_channels, len(config.lambdas)
        self.first, self.second = _near(z, s), _near(s, s)
        self.rate = RateControl(s, anchors)
        self.last = _zero(nn.Conv2d(s, z, 1))

    def forward(self, normalised: Tensor, position: Tensor) -> Tensor:
        """Return the correction, like `normalised` in standard deviations of the coefficients."""
        x = _activation(self.first(normalised))
        x = self.rate(_activation(self.second(x)), position)
        return _full(self.last(x))


class HyperAnalysis(nn.Module):
    """Coefficients to q(z2): energies of slices over 64x64 pixels, and what a network adds."""

    def __init__(self, config: TransformVAEConfig) -> None:
        """Set up a 1x1 convolution and two strided ones, and heads which start at zero."""
        super().__init__()
        z, h, s = config.latent_channels, config.hyper_channels, config.state_channels
        n_energies = len(config.slices) + 3
        self.slices = config.slices
        self.energies = nn.Conv2d(n_energies, h, 1)
        self.first = nn.Conv2d(2 * z, s, 1)
        self.second = nn.Conv2d(s, s, 4, stride=2, padding=1)
        self.third = nn.Conv2d(s, s, 4, stride=2, padding=1)
        self.heads = _zero(nn.Conv2d(s, 2 * h, 1))
        self.log_scale = RateTable(h, len(config.lambdas))
        nn.init.constant_(self.log_scale.values, math.log(0.3))
        nn.init.zeros_(self.energies.bias)  # type: ignore[arg-type]
        nn.init.zeros_(self.energies.weight)
        with torch.no_grad():
            for i in range(min(h, n_energies)):
                self.energies.weight[i, i] = 1.0 if i < 3 else 0.5

    def forward(self, normalised: Tensor, features: Tensor, position: Tensor) -> Normal:
        """Return the posterior of z2."""
        starts = (0, *self.slices[:-1])
        squares = normalised.square()
        slices = [squares[:, a:b].mean(1) for a, b in zip(starts, self.slices, strict=True)]
        pooled = functional.avg_pool2d(torch.stack(slices, 1), 4)
        coarse = functional.avg_pool2d(normalised[:, :3], 4)
        known = torch.cat([coarse, torch.log(pooled + _ENERGY_FLOOR)], 1)
        x = _activation(self.first(features))
        x = _activation(self.third(_activation(self.second(x))))
        mean, raw = _full(self.heads(x)).chunk(2, 1)
        mean = _saturated(mean + _full(self.energies(known)))
        scale = torch.exp(self.log_scale(position) + raw.clamp(_MIN_RAW, _MAX_RAW))
        return _normal(mean, scale)


class TopPrior(nn.Module):
    """p(z2): the same at every position."""

    def __init__(self, config: TransformVAEConfig) -> None:
        """Set up a mean and a scale for each channel and rate."""
        super().__init__()
        self.mean = RateTable(config.hyper_channels, len(config.lambdas))
        self.log_scale = RateTable(config.hyper_channels, len(config.lambdas))

    def forward(self, height: int, width: int, position: Tensor) -> Normal:
        """Return the prior of z2, `height` x `width` positions for each image."""
        shape = (-1, -1, height, width)
        mean, log_scale = self.mean(position), self.log_scale(position)
        return _normal(mean.expand(shape), log_scale.exp().expand(shape))


class HyperSynthesis(nn.Module):
    """z2 to the first state of the priors."""

    def __init__(self, config: TransformVAEConfig) -> None:
        """Two transposed convolutions."""
        super().__init__()
        h, s = config.hyper_channels, config.state_channels
        self.first = nn.ConvTranspose2d(h, s, 4, stride=2, padding=1)
        self.second = nn.ConvTranspose2d(s, s, 4, stride=2, padding=1)
        self.rate = RateControl(s, len(config.lambdas))

    def forward(self, z2: Tensor, position: Tensor) -> Tensor:
        """Return the state at 1/16 of the resolution."""
        return self.rate(self.second(_activation(self.first(_saturated(z2)))), position)


class Head(nn.Module):
    """The state to numbers at each position, all zero to begin with."""

    def __init__(self, config: TransformVAEConfig, n_out: int) -> None:
        """Set up a 3x3 convolution and a 1x1 one."""
        super().__init__()
        s = config.state_channels
        self.rate = RateControl(s, len(config.lambdas))
        self.first = _near(s, s)
        self.last = _zero(nn.Conv2d(s, n_out, 1))

    def forward(self, state: Tensor, position: Tensor) -> Tensor:
        """Numbers for each position, in single precision at least."""
        x = _activation(self.first(_activation(self.rate(state, position))))
        with torch.autocast(x.device.type, enabled=False):
            return self.last(_full(x))


class Deblocking(nn.Module):
    """The inverse transform's blocks to the image, corrected across their borders at 1/4."""

    def __init__(self, config: TransformVAEConfig) -> None:
        """Two heads of the state, and four 3x3 convolutions, of which the last starts at zero."""
        super().__init__()
        c, anchors = config.residual_channels, len(config.lambdas)
        self.head = Head(config, BLOCK_DIMS)
        self.side = Head(config, BLOCK**2)
        self.first = nn.Conv2d(3 * CELL**2 + BLOCK, c, 3, padding=1)
        self.second = nn.Conv2d(c, c, 3, padding=1)
        self.third = nn.Conv2d(c, c, 3, padding=1)
        self.last = _zero(nn.Conv2d(c, 3 * CELL**2, 3, padding=1))
        self.rates = nn.ModuleList([RateControl(c, anchors) for _ in range(2)])
        nn.init.normal_(self.side.last.weight, std=0.05)

    def forward(self, blocks: Tensor, state: Tensor, position: Tensor) -> Tensor:
        """Return the image in grey levels, [n, 3, h, w], neither rounded nor clipped."""
        cells = _cells(blocks + self.head(state, position))
        side = functional.pixel_shuffle(self.side(state, position), CELL)
        x = self.rates[0](self.first(torch.cat([4.0 * cells, side], 1)), position)
        x = x + self.third(_activation(self.second(_activation(x))))
        x = self.last(_activation(self.rates[1](x, position)))
        # Half precision ends here: it holds 256 grey levels with an error of half a level.
        return 255.0 * (functional.pixel_shuffle(cells + _full(x), CELL) + 0.5)


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
    a, d = one.chunk(2, 1)
    b, c = other.chunk(2, 1)
    rows = torch.stack([torch.stack([a, b], -1), torch.stack([c, d], -1)], -3)
    return rows.flatten(-2).flatten(-3, -2)


class TransformVAE(LossyModel):
    """Transform VAE for RGB images whose sides are multiples of 64."""

    def __init__(self, config: TransformVAEConfig) -> None:
        """Build the network that `config` describes."""
        super().__init__()
        self.config = config
        z, s, anchors = config.latent_channels, config.state_channels, len(config.lambdas)
        widths = [b - a for a, b in itertools.pairwise((0, *config.slices))]
        halved = widths[: config.interleaved]
        self.transform = BlockTransform(z)
        self.log_deviation = nn.Parameter(torch.zeros(z))
        self.log_water = RateTable(z, anchors)
        self.correction = Correction(config)
        self.hyper_analysis = HyperAnalysis(config)
        self.top_prior = TopPrior(config)
        self.hyper_synthesis = HyperSynthesis(config)
        self.heads = nn.ModuleList([Head(config, 2 * c) for c in widths])
        # No prior follows the last slice.
        self.embeddings = nn.ModuleList([_near(2 * c, s) for c in widths[:-1]])
        self.second_heads = nn.ModuleList([Head(config, 2 * c) for c in halved])
        self.half_embeddings = nn.ModuleList([_near(2 * c, s) for c in halved])
        self.deblocking = Deblocking(config)
        self.begin_at_variances(torch.ones(z))

    @torch.no_grad()
    def begin_at(self, components: BlockComponents) -> None:
        """Take principal components of 16x16 blocks as the transform, and all that follows."""
        z = self.config.latent_channels
        basis = components.vectors[:, :z]
        self.transform.forward_basis.copy_(basis.T)
        self.transform.inverse_basis.copy_(basis)
        self.transform.mean.copy_(components.mean)
        self.begin_at_variances(components.variances[:z])

    @torch.no_grad()
    def begin_at_variances(self, variances: Float[Tensor, " z"]) -> None:
        """Set prior variances and water levels for orthonormal coefficients of these variances."""
        self.log_deviation.copy_(0.5 * variances.log())
        for anchor, trade_off in enumerate(self.config.lambdas):
            # Of colours in [0, 1]: where the last bit gains as much error as lambda asks for it.
            water = BLOCK_DIMS / (2.0 * BLOCK**2 * math.log(2.0) * trade_off * 255.0**2)
            self.log_water.values[anchor] = math.log(water)

    def n_latent_dims(self, height: int, width: int) -> list[int]:
        """Dimensions of z2, and of each slice of z1 or its halves."""
        positions = height * width // BLOCK**2
        dims = [self.config.hyper_channels * height * width // self.stride**2]
        for index, (start, end) in enumerate(itertools.pairwise((0, *self.config.slices))):
            n_halves = 2 if index < self.config.interleaved else 1
            dims += n_halves * [(end - start) * positions // n_halves]
        return dims

    def analyse(
        self, pixels: Float[Tensor, "n 3 h w"], position: Float[Tensor, " n"]
    ) -> Float[Tensor, "n z h16 w16"]:
        """Return the coefficients."""
        deviation = self._deviation()
        with torch.autocast(pixels.device.type, enabled=False):
            linear = self.transform.analyse(pixels)
        return linear + deviation * self.correction(_saturated(linear / deviation), position)

    def evidence(
        self, coefficients: Float[Tensor, "n z h w"], position: Float[Tensor, " n"]
    ) -> TransformEvidence:
        """Return the coefficients and the posterior of z2."""
        normalised = coefficients / self._deviation()
        top = self.hyper_analysis(normalised, self._features(coefficients), position)
        return TransformEvidence(coefficients, top)

    def latents(
        self,
        source: LatentSource,
        evidence: TransformEvidence | None,
        height: int,
        width: int,
        position: Float[Tensor, " n"],
    ) -> Float[Tensor, "n c h w"]:
        """z1 and the state before its last slice, in the channels.

        The source is asked for z2, then for z1 slice by slice, interleaved ones half by half.
        """
        prior = self.top_prior(height // self.stride, width // self.stride, position)
        z2 = source(prior, None if evidence is None else evidence.top, 0)
        state = self.hyper_synthesis(z2, position)
        slices: list[Tensor] = []
        for index, (start, end) in enumerate(itertools.pairwise((0, *self.config.slices))):
            y = None if evidence is None else evidence.coefficients[:, start:end]
            slices.append(self._slice(source, index, state, y, position))
            if index < len(self.embeddings):
                state = state + self.embeddings[index](self._features(slices[-1], start))
        return torch.cat([*slices, state], 1)

    def synthesise(
        self, latents: Float[Tensor, "n c h16 w16"], position: Float[Tensor, " n"]
    ) -> Float[Tensor, "n 3 h w"]:
        """Return the image from what :meth:`latents` gives."""
        z1, state = latents.split([self.config.latent_channels, self.config.state_channels], 1)
        with torch.autocast(z1.device.type, enabled=False):
            blocks = self.transform.synthesise(_full(z1))
        return self.deblocking(blocks, state, position)

    def coefficient_noise(self, position: Float[Tensor, " n"]) -> Float[Tensor, "n z 1 1"]:
        """Return the root of the water level."""
        return torch.exp(0.5 * self.log_water(position))

    def _deviation(self) -> Float[Tensor, "z 1 1"]:
        return self.log_deviation.exp()[:, None, None]

    def _features(self, z: Tensor, start: int = 0) -> Float[Tensor, "n c2 h w"]:
        """Coefficients in their deviations, and the logarithms of their magnitudes."""
        x = z / self._deviation()[start : start + z.shape[1]]
        return torch.cat([_saturated(x), torch.log(x.abs() + _MAGNITUDE_FLOOR)], 1)

    def _slice(
        self, source: LatentSource, index: int, state: Tensor, y: Tensor | None, position: Tensor
    ) -> Float[Tensor, "n c h w"]:
        """Ask for a slice of z1, or for one half of it and then the other."""
        channel = (0, *self.config.slices)[index]
        tensor = 1 + index + min(index, self.config.interleaved)
        prior = self._prior(self.heads[index](state, position), channel, position)
        if index >= self.config.interleaved:
            return prior.ask(source, y, tensor)
        y_halves = (None, None) if y is None else halves(y)
        one = prior.half(0).ask(source, y_halves[0], tensor)
        # What is not known yet counts as zero, in the features too.
        known = self._features(joined(one, torch.zeros_like(one)), channel)
        mask = joined(torch.ones_like(one), torch.zeros_like(one)).repeat(1, 2, 1, 1)
        state = state + self.half_embeddings[index](mask * known)
        prior = self._prior(self.second_heads[index](state, position), channel, position)
        return joined(one, prior.half(1).ask(source, y_halves[1], tensor + 1))

    def _prior(self, statistics: Tensor, channel: int, position: Tensor) -> ChannelPrior:
        """Return the prior of a slice that begins at `channel` from what its head says."""
        mean, correction = statistics.chunk(2, 1)
        end = channel + mean.shape[1]
        log_deviation = self.log_deviation[channel:end][:, None, None]
        log_water = self.log_water(position)[:, channel:end]
        correction = correction.clamp(-_MAX_CORRECTION, _MAX_CORRECTION)
        ratio = (2.0 * log_deviation + correction - log_water).clamp(min=_MIN_LOG_RATIO)
        # A smooth max(0, variance / water level - 1): x^2 / (1 + x).
        log_signal = 2.0 * ratio - functional.softplus(ratio)
        return ChannelPrior(
            _saturated(mean) * log_deviation.exp(), log_signal, log_water.expand_as(mean)
        )
