"""The transform VAE: lossy compression that begins as a block transform with adaptive priors.

A trainable transform of 16x16 blocks gives coefficients y; each is sent through the Gaussian test
channel of its rate (reverse water-filling), with a prior that adapts to the place: its mean and
variance come from the hyper latents and from the slices of channels already sent (channel-
conditional priors, arXiv 2007.08739; the first slices in two interleaved halves, 2103.15306).

    image -> analysis -> y at /16 -> hyper-analysis -> q(z2 | image) at /64
    z2    -> hyper-synthesis -> state;  state -> p(z1 slice | z2, slices before) -> q(slice | y, p)
    slice -> embedding -> state;  all slices -> synthesis -> image
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Normal
from torch.nn import functional

from irec.models.block_transform import BLOCK, BLOCK_DIMS, BlockComponents, BlockTransform
from irec.models.exact import full_precision
from irec.models.lossy_model import AnchorPositions, AnchorTable, Images, LossyModel
from irec.models.sources import LatentSource
from irec.models.transform_layers import (
    ChannelPrior,
    Correction,
    Deblocking,
    Head,
    HyperAnalysis,
    HyperSynthesis,
    TopPrior,
    TransformVAEConfig,
    halves,
    joined,
    near,
    saturated,
)

# Least log(variance / water level): below, a coefficient is as good as not sent.
_MIN_LOG_RATIO = -6.0
_MAX_CORRECTION = 8.0
_MAGNITUDE_FLOOR = 0.05
# A lambda for 255 (1 - MS-SSIM) asks for about as many bits as this share of it does for squared
# error: where MS-SSIM falls as fast with the rate, on transform-vae-photo's curve of both.
_SHARE_OF_MS_SSIM = 1 / 7


@dataclass(frozen=True)
class TransformEvidence:
    """What the inference pass found: the coefficients, and all of q(z2)."""

    coefficients: Float[Tensor, "n z h w"]
    top: Normal


class TransformVAE(LossyModel):
    """Transform VAE for RGB images whose sides are multiples of 64."""

    def __init__(self, config: TransformVAEConfig) -> None:
        """Build the network that `config` describes."""
        super().__init__()
        self.config = config
        z, s, anchors = config.latent_channels, config.state_channels, len(config.lambdas)
        widths = [end - start for start, end in config.bounds]
        halved = widths[: config.interleaved]
        self.transform = BlockTransform(z)
        self.log_deviation = nn.Parameter(torch.zeros(z))
        self.log_water = AnchorTable(z, anchors)
        self.correction = Correction(config)
        self.hyper_analysis = HyperAnalysis(config)
        self.top_prior = TopPrior(config)
        self.hyper_synthesis = HyperSynthesis(config)
        self.heads = nn.ModuleList([Head(config, 2 * c) for c in widths])
        # No prior follows the last slice.
        self.embeddings = nn.ModuleList([near(2 * c, s) for c in widths[:-1]])
        self.second_heads = nn.ModuleList([Head(config, 2 * c) for c in halved])
        self.half_embeddings = nn.ModuleList([near(2 * c, s) for c in halved])
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
        share = 1.0 if self.config.distortion == "mse" else _SHARE_OF_MS_SSIM
        for anchor, trade_off in enumerate(self.config.lambdas):
            # Of colours in [0, 1]: where the last bit gains as much error as lambda asks for it.
            water = BLOCK_DIMS / (2.0 * BLOCK**2 * math.log(2.0) * share * trade_off * 255.0**2)
            self.log_water.values[anchor] = math.log(water)

    def n_latent_dims(self, height: int, width: int) -> list[int]:
        """Dimensions of z2, and of each slice of z1 or its halves."""
        positions = height * width // BLOCK**2
        dims = [self.config.hyper_channels * height * width // self.stride**2]
        for index, (start, end) in enumerate(self.config.bounds):
            n_halves = 2 if index < self.config.interleaved else 1
            dims += n_halves * [(end - start) * positions // n_halves]
        return dims

    def analyse(
        self, pixels: Images, anchor_position: AnchorPositions
    ) -> Float[Tensor, "n z h16 w16"]:
        """Return the coefficients."""
        deviation = self._deviation()
        with torch.autocast(pixels.device.type, enabled=False):
            linear = self.transform.analyse(pixels)
        return linear + deviation * self.correction(saturated(linear / deviation), anchor_position)

    def evidence(
        self, coefficients: Float[Tensor, "n z h w"], anchor_position: AnchorPositions
    ) -> TransformEvidence:
        """Return the coefficients and the posterior of z2."""
        normalised = coefficients / self._deviation()
        top = self.hyper_analysis(normalised, self._features(coefficients), anchor_position)
        return TransformEvidence(coefficients, top)

    def latents(
        self,
        source: LatentSource,
        evidence: TransformEvidence | None,
        height: int,
        width: int,
        anchor_position: AnchorPositions,
    ) -> Float[Tensor, "n c h w"]:
        """z1 and the state before its last slice, in the channels.

        The source is asked for z2, then for z1 slice by slice, interleaved ones half by half.
        """
        prior = self.top_prior(height // self.stride, width // self.stride, anchor_position)
        z2 = source(prior, None if evidence is None else evidence.top, 0)
        state = self.hyper_synthesis(z2, anchor_position)
        slices: list[Tensor] = []
        for index, (start, end) in enumerate(self.config.bounds):
            y = None if evidence is None else evidence.coefficients[:, start:end]
            slices.append(self._slice(source, index, state, y, anchor_position))
            if index < len(self.embeddings):
                state = state + self.embeddings[index](self._features(slices[-1], start))
        return torch.cat([*slices, state], 1)

    def synthesise(
        self, latents: Float[Tensor, "n c h16 w16"], anchor_position: AnchorPositions
    ) -> Images:
        """Return the image from what :meth:`latents` gives."""
        z1, state = latents.split([self.config.latent_channels, self.config.state_channels], 1)
        with torch.autocast(z1.device.type, enabled=False):
            blocks = self.transform.synthesise(full_precision(z1))
        return self.deblocking(blocks, state, anchor_position)

    def coefficient_noise(self, anchor_position: AnchorPositions) -> Float[Tensor, "n z 1 1"]:
        """Return the root of the water level."""
        return torch.exp(0.5 * self.log_water(anchor_position))

    def _deviation(self) -> Float[Tensor, "z 1 1"]:
        return self.log_deviation.exp()[:, None, None]

    def _features(self, z: Tensor, start: int = 0) -> Float[Tensor, "n c2 h w"]:
        """Coefficients in their deviations, and the logarithms of their magnitudes."""
        x = z / self._deviation()[start : start + z.shape[1]]
        return torch.cat([saturated(x), torch.log(x.abs() + _MAGNITUDE_FLOOR)], 1)

    def _slice(
        self,
        source: LatentSource,
        index: int,
        state: Tensor,
        y: Tensor | None,
        anchor_position: Tensor,
    ) -> Float[Tensor, "n c h w"]:
        """Ask for a slice of z1, or for one half of it and then the other."""
        channel = self.config.bounds[index][0]
        tensor = 1 + index + min(index, self.config.interleaved)
        prior = self._prior(self.heads[index](state, anchor_position), channel, anchor_position)
        if index >= self.config.interleaved:
            return prior.ask(source, y, tensor)
        y_halves = (None, None) if y is None else halves(y)
        one = prior.half(0).ask(source, y_halves[0], tensor)
        # What is not known yet counts as zero, in the features too.
        known = self._features(joined(one, torch.zeros_like(one)), channel)
        mask = joined(torch.ones_like(one), torch.zeros_like(one)).repeat(1, 2, 1, 1)
        state = state + self.half_embeddings[index](mask * known)
        statistics = self.second_heads[index](state, anchor_position)
        prior = self._prior(statistics, channel, anchor_position)
        return joined(one, prior.half(1).ask(source, y_halves[1], tensor + 1))

    def _prior(self, statistics: Tensor, channel: int, anchor_position: Tensor) -> ChannelPrior:
        """Return the prior of a slice that begins at `channel` from what its head says."""
        mean, correction = statistics.chunk(2, 1)
        end = channel + mean.shape[1]
        log_deviation = self.log_deviation[channel:end][:, None, None]
        log_water = self.log_water(anchor_position)[:, channel:end]
        correction = correction.clamp(-_MAX_CORRECTION, _MAX_CORRECTION)
        ratio = (2.0 * log_deviation + correction - log_water).clamp(min=_MIN_LOG_RATIO)
        # A smooth max(0, variance / water level - 1): x^2 / (1 + x).
        log_signal = 2.0 * ratio - functional.softplus(ratio)
        mean = saturated(mean) * log_deviation.exp()
        return ChannelPrior(mean, log_signal, log_water.expand_as(mean))
