"""The two-level VAE for lossy compression (arXiv 1802.01436 as changed by 2010.01185, appendix).

Inference runs once; generation runs top-down and asks a latent source for both latent tensors:

    image -> analysis -> (mean, raw scale) at /16 -> hyper-analysis -> q(z2 | image) at /64
    top   -> p(z2);  z2 -> hyper-synthesis -> p(z1 | z2);  both -> q(z1 | image, z2)
    z1    -> synthesis -> image
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Normal
from torch.nn import functional

from irec.models.exact import full_precision
from irec.models.lossy_model import (
    POSITION_PIXELS,
    AnchorPositions,
    Distortion,
    GainUnit,
    Images,
    LossyModel,
    check_ascending,
)
from irec.models.sources import LatentSource

_MIN_SCALE = 1e-7
_MIN_BETA = 1e-6
# Raw scale of fresh posteriors: narrow enough that the image gets through from the first step on.
_FIRST_RAW_SCALE = -2.0


@dataclass(frozen=True)
class TwoLevelVAEConfig:
    """Size and qualities of a two-level VAE; the defaults are the paper's (arXiv 2010.01185).

    Attributes:
        channels: Of the hidden layers of analysis and synthesis.
        latent_channels: Of z1, at 1/16 of the resolution.
        hyper_channels: Of z2, at 1/64, and of the hyper transforms.
        lambdas: Trade-offs lambda of 255^2 lambda MSE + bits per pixel, ascending. One makes a
            model of one quality; several are the anchors of a model that serves all between.
        distortion: What the model was trained on, see `Distortion`.
    """

    channels: int = 196
    latent_channels: int = 196
    hyper_channels: int = 128
    lambdas: Sequence[float] = (0.01,)
    distortion: Distortion = "mse"

    def __post_init__(self) -> None:
        """Check the lambdas."""
        check_ascending(self, "lambdas")


@dataclass(frozen=True)
class TwoLevelEvidence:
    """What the inference pass found: all of q(z2), and the image's share of q(z1)."""

    mean: Float[Tensor, "n z h w"]
    raw_scale: Float[Tensor, "n z h w"]
    top: Normal


def _normal(mean: Tensor, raw_scale: Tensor) -> Normal:
    """Return a diagonal Gaussian of positive scale, in single precision at least."""
    scale = functional.softplus(full_precision(raw_scale)) + _MIN_SCALE
    return Normal(full_precision(mean), scale, validate_args=False)


def _down(n_in: int, n_out: int, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(n_in, n_out, 5, stride=2, padding=2, bias=bias)


def _up(n_in: int, n_out: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(n_in, n_out, 5, stride=2, padding=2, output_padding=1)


def _same(n_in: int, n_out: int) -> nn.Conv2d:
    return nn.Conv2d(n_in, n_out, 3, padding=1)


def _initialise(module: nn.Module) -> None:
    """Let a convolution's output vary as much as its input; torch's default would shrink it."""
    if not isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        return
    n_summed: float = module.in_channels * module.kernel_size[0] * module.kernel_size[1]
    if isinstance(module, nn.ConvTranspose2d):
        n_summed /= module.stride[0] * module.stride[1]
    nn.init.normal_(module.weight, std=1.0 / math.sqrt(n_summed))
    if module.bias is not None:
        nn.init.zeros_(module.bias)


class GDN(nn.Module):
    """Generalised divisive normalisation (arXiv 1511.06281, eq. 1; 1611.01704), or its inverse.

    y_i = x_i / sqrt(beta_i + sum_j gamma_ij x_j^2) at each position;
    beta and gamma are squares of the stored parameters, so that they cannot become negative.
    """

    def __init__(self, channels: int, inverse: bool = False) -> None:
        """Start near the identity; `inverse` multiplies by the root: a rough inverse."""
        super().__init__()
        self.inverse = inverse
        self.beta_root = nn.Parameter(torch.ones(channels))
        # Not exactly zero off the diagonal: the gradient of a square vanishes there.
        gamma = 0.1 * torch.eye(channels) + 1e-4
        self.gamma_root = nn.Parameter(gamma.sqrt())

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Normalise each position's channels by their common energy."""
        gamma = self.gamma_root.square()[:, :, None, None]
        beta = self.beta_root.square() + _MIN_BETA
        energy = functional.conv2d(x.square(), gamma, beta)
        return x * (energy.sqrt() if self.inverse else energy.rsqrt())


class _Analysis(nn.Module):
    """Grey levels to the mean and raw scale of z1's inference, at 1/16 of the resolution."""

    def __init__(self, config: TwoLevelVAEConfig) -> None:
        super().__init__()
        n, z, anchors = config.channels, config.latent_channels, len(config.lambdas)
        self.convolutions = nn.ModuleList([_down(3, n), _down(n, n), _down(n, n)])
        self.gdns = nn.ModuleList([GDN(n) for _ in range(3)])
        self.rates = nn.ModuleList([GainUnit(n, anchors) for _ in range(3)])
        self.mean, self.raw_scale = _down(n, z), _down(n, z)
        self.rate_of_mean, self.rate_of_scale = GainUnit(z, anchors), GainUnit(z, anchors)

    def forward(self, pixels: Tensor, anchor_position: Tensor) -> tuple[Tensor, Tensor]:
        x = pixels / 255.0 - 0.5
        for convolution, gdn, gain in zip(self.convolutions, self.gdns, self.rates, strict=True):
            x = gain(gdn(convolution(x)), anchor_position)
        mean = self.rate_of_mean(self.mean(x), anchor_position)
        return mean, self.rate_of_scale(self.raw_scale(x), anchor_position)


class _HyperAnalysis(nn.Module):
    """The inference mean of z1 to q(z2); the heads have no bias."""

    def __init__(self, config: TwoLevelVAEConfig) -> None:
        super().__init__()
        z, h = config.latent_channels, config.hyper_channels
        self.first, self.second = _same(z, h), _down(h, h)
        self.mean, self.raw_scale = _down(h, h, bias=False), _down(h, h, bias=False)
        self.rate_of_scale = GainUnit(h, len(config.lambdas))

    def forward(self, mean: Tensor, anchor_position: Tensor) -> Normal:
        x = functional.relu(self.second(functional.relu(self.first(mean))))
        return _normal(self.mean(x), self.rate_of_scale(self.raw_scale(x), anchor_position))


class _TopPrior(nn.Module):
    """p(z2): a learned vector at each of height x width positions, which convolutions spread."""

    def __init__(self, config: TwoLevelVAEConfig) -> None:
        super().__init__()
        h, anchors = config.hyper_channels, len(config.lambdas)
        self.vector = nn.Parameter(torch.zeros(h))
        self.first, self.mean, self.raw_scale = _same(h, h), _same(h, h), _same(h, h)
        self.rate_of_mean, self.rate_of_scale = GainUnit(h, anchors), GainUnit(h, anchors)

    def forward(self, height: int, width: int, anchor_position: Tensor) -> Normal:
        top = self.vector.view(1, -1, 1, 1).expand(len(anchor_position), -1, height, width)
        x = functional.elu(self.first(top))
        mean = self.rate_of_mean(self.mean(x), anchor_position)
        return _normal(mean, self.rate_of_scale(self.raw_scale(x), anchor_position))


class _HyperSynthesis(nn.Module):
    """z2 to the mean and raw scale of z1's prior, at 1/16 of the resolution."""

    def __init__(self, config: TwoLevelVAEConfig) -> None:
        super().__init__()
        z, h, anchors = config.latent_channels, config.hyper_channels, len(config.lambdas)
        self.first, self.second = _up(h, h), _up(h, h)
        self.mean, self.raw_scale = _same(h, z), _same(h, z)
        self.rate_of_mean, self.rate_of_scale = GainUnit(z, anchors), GainUnit(z, anchors)

    def forward(self, z2: Tensor, anchor_position: Tensor) -> tuple[Tensor, Tensor]:
        x = functional.relu(self.second(functional.relu(self.first(z2))))
        mean = self.rate_of_mean(self.mean(x), anchor_position)
        return mean, self.rate_of_scale(self.raw_scale(x), anchor_position)


class _Combination(nn.Module):
    """q(z1 | image, z2) from the statistics of inference and, mean and raw scale, of the prior."""

    def __init__(self, config: TwoLevelVAEConfig) -> None:
        super().__init__()
        z = config.latent_channels
        self.mean, self.raw_scale = nn.Conv2d(2 * z, z, 1), nn.Conv2d(2 * z, z, 1)

    def forward(self, evidence: TwoLevelEvidence, mean: Tensor, raw_scale: Tensor) -> Normal:
        means = functional.elu(torch.cat([evidence.mean, mean], dim=1))
        raw_scales = functional.elu(torch.cat([evidence.raw_scale, raw_scale], dim=1))
        return _normal(self.mean(means), self.raw_scale(raw_scales))


class _Synthesis(nn.Module):
    """z1 to the image in grey levels, [n, 3, h, w], neither rounded nor clipped."""

    def __init__(self, config: TwoLevelVAEConfig) -> None:
        super().__init__()
        n, anchors = config.channels, len(config.lambdas)
        self.rate = GainUnit(config.latent_channels, anchors)
        first = _up(config.latent_channels, n)
        self.convolutions = nn.ModuleList([first, _up(n, n), _up(n, n)])
        self.gdns = nn.ModuleList([GDN(n, inverse=True) for _ in range(3)])
        self.rates = nn.ModuleList([GainUnit(n, anchors) for _ in range(3)])
        self.last = _up(n, 3)

    def forward(self, z1: Tensor, anchor_position: Tensor) -> Tensor:
        x = self.rate(z1, anchor_position)
        for convolution, gdn, gain in zip(self.convolutions, self.gdns, self.rates, strict=True):
            x = gain(gdn(convolution(x)), anchor_position)
        # Half precision ends here: it holds 256 grey levels with an error of half a level.
        with torch.autocast(x.device.type, enabled=False):
            return 255.0 * (self.last(full_precision(x)) + 0.5)


class TwoLevelVAE(LossyModel):
    """Two-level VAE for RGB images whose sides are multiples of 64."""

    def __init__(self, config: TwoLevelVAEConfig) -> None:
        """Build the network that `config` describes."""
        super().__init__()
        self.config = config
        self.analysis = _Analysis(config)
        self.hyper_analysis = _HyperAnalysis(config)
        self.top_prior = _TopPrior(config)
        self.hyper_synthesis = _HyperSynthesis(config)
        self.combination = _Combination(config)
        self.synthesis = _Synthesis(config)
        self.apply(_initialise)
        nn.init.constant_(self.combination.raw_scale.bias, _FIRST_RAW_SCALE)  # type: ignore[arg-type]

    def n_latent_dims(self, height: int, width: int) -> list[int]:
        """Dimensions of z2 and of z1."""
        n_pixels = height * width
        z2 = self.config.hyper_channels * n_pixels // self.stride**2
        return [z2, self.config.latent_channels * n_pixels // POSITION_PIXELS**2]

    def analyse(self, pixels: Images, anchor_position: AnchorPositions) -> Tensor:
        """Mean and raw scale of z1's inference, one after the other in the channels."""
        return torch.cat(self.analysis(pixels, anchor_position), 1)

    def evidence(self, analysed: Tensor, anchor_position: Tensor) -> TwoLevelEvidence:
        """Return the inference statistics of z1 and the posterior of z2."""
        mean, raw_scale = analysed.chunk(2, 1)
        return TwoLevelEvidence(mean, raw_scale, self.hyper_analysis(mean, anchor_position))

    def latents(
        self,
        source: LatentSource,
        evidence: TwoLevelEvidence | None,
        height: int,
        width: int,
        anchor_position: AnchorPositions,
    ) -> Float[Tensor, "n z h w"]:
        """z1; the source is asked for z2, then for z1."""
        prior = self.top_prior(height // self.stride, width // self.stride, anchor_position)
        z2 = source(prior, None if evidence is None else evidence.top, 0)
        statistics = self.hyper_synthesis(z2, anchor_position)
        posterior = None if evidence is None else self.combination(evidence, *statistics)
        return source(_normal(*statistics), posterior, 1)

    def synthesise(self, latents: Tensor, anchor_position: Tensor) -> Tensor:
        """Return the image from z1."""
        return self.synthesis(latents, anchor_position)
