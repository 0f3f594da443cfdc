"""The ResNet VAE: bidirectional residual blocks at half resolution (arXiv 1606.04934, 1912.09953).

Inference runs bottom-up once; generation runs top-down and asks a latent source for every z:

    image -> [conv /2] -> block 1 up -> ... -> block L up        (evidence for each posterior)
    top   ->              block L down -> ... -> block 1 down -> [deconv x2] -> likelihood
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Normal
from torch.nn import functional

from irec.models.exact import full_precision
from irec.models.likelihoods import LikelihoodName, LogisticParameters, make_likelihood
from irec.models.sources import LatentSource
from irec.models.weight_norm import WeightNormConv2d, WeightNormUpsample2d

RESIDUAL_SCALE = 0.1


@dataclass(frozen=True)
class RVAEConfig:
    """Size and kind of an RVAE; the defaults are the paper's (arXiv 2010.01185, appendix).

    Attributes:
        n_blocks: Bidirectional residual blocks, each with one latent tensor.
        hidden_channels: Deterministic channels.
        latent_channels: Stochastic channels of each block.
        likelihood: "logistic" is the paper's, "conditional_logistic" ours.
    """

    n_blocks: int = 24
    hidden_channels: int = 160
    latent_channels: int = 32
    likelihood: LikelihoodName = "logistic"


@dataclass(frozen=True)
class Evidence:
    """What the inference pass found for one block: its share of the posterior's parameters."""

    mean: Float[Tensor, "n z h w"]
    raw_scale: Float[Tensor, "n z h w"]


def _normal(mean: Tensor, raw_scale: Tensor) -> Normal:
    """Return a diagonal Gaussian whose log-scale stays within +-6, so that none vanishes."""
    scale = torch.exp(6.0 * torch.tanh(raw_scale / 6.0))
    return Normal(mean, scale, validate_args=False)


class BidirectionalBlock(nn.Module):
    """One latent tensor with its inference and its generative residual branch."""

    def __init__(self, hidden: int, latent: int) -> None:
        """Set up the four convolutions."""
        super().__init__()
        self.splits_up = [latent, latent, hidden]
        self.splits_down = [latent] * 4 + [hidden]
        self.up_in = WeightNormConv2d(hidden, sum(self.splits_up), 3, initial_std=0.1)
        self.up_out = WeightNormConv2d(hidden, hidden, 3)
        self.down_in = WeightNormConv2d(hidden, sum(self.splits_down), 3, initial_std=0.1)
        self.down_out = WeightNormConv2d(hidden + latent, hidden, 3)

    def up(self, x: Float[Tensor, "n c h w"]) -> tuple[Tensor, Evidence]:
        """Infer: the next features, and the evidence for this block's posterior."""
        mean, raw_scale, h = self.up_in(functional.elu(x)).split(self.splits_up, dim=1)
        x = x + RESIDUAL_SCALE * self.up_out(functional.elu(h))
        return x, Evidence(mean, raw_scale)

    def down(
        self,
        x: Float[Tensor, "n c h w"],
        source: LatentSource,
        evidence: Evidence | None,
        tensor: int,
    ) -> Float[Tensor, "n c h w"]:
        """Generate: ask for z, latent tensor number `tensor`, and pass it on."""
        out = self.down_in(functional.elu(x)).split(self.splits_down, dim=1)
        prior_mean, prior_raw, top_mean, top_raw, h = out
        prior = _normal(prior_mean, prior_raw)
        posterior = None
        if evidence is not None:
            posterior = _normal(top_mean + evidence.mean, top_raw + evidence.raw_scale)
        z = source(prior, posterior, tensor)
        h = self.down_out(functional.elu(torch.cat([z, h], dim=1)))
        return x + RESIDUAL_SCALE * h


class RVAE(nn.Module):
    """ResNet VAE for RGB images of even height and width."""

    # Height and width of an image must be multiples of this.
    stride = 2

    def __init__(self, config: RVAEConfig) -> None:
        """Build the network that `config` describes."""
        super().__init__()
        self.config = config
        hidden = config.hidden_channels
        self.likelihood = make_likelihood(config.likelihood)
        self.first = WeightNormConv2d(3, hidden, 5, stride=2)
        blocks = [
            BidirectionalBlock(hidden, config.latent_channels) for _ in range(config.n_blocks)
        ]
        self.blocks: Sequence[BidirectionalBlock] = nn.ModuleList(blocks)  # type: ignore[assignment]
        self.top = nn.Parameter(torch.zeros(hidden))
        self.last = WeightNormUpsample2d(hidden, self.likelihood.n_parameters, 5, initial_std=0.1)

    @property
    def n_latent_tensors(self) -> int:
        """How often a generative pass asks its latent source."""
        return self.config.n_blocks

    def latent_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """Shape [c, h, w] of every latent tensor for an image of height x width."""
        return (self.config.latent_channels, height // self.stride, width // self.stride)

    def infer(self, pixels: Float[Tensor, "n 3 h w"]) -> list[Evidence]:
        """Bottom-up pass.

        Args:
            pixels: Whole numbers 0 .. 255 in floating point; even height and width.

        Returns:
            Evidence for each block, in the order in which :meth:`generate` needs it.
        """
        x = self.first((pixels + 0.5) / 256.0 - 0.5)
        evidence = []
        for block in self.blocks:
            x, found = block.up(x)
            evidence.append(found)
        return evidence[::-1]

    def generate(
        self,
        source: LatentSource,
        evidence: list[Evidence] | None,
        batch: int,
        height: int,
        width: int,
    ) -> LogisticParameters:
        """Top-down pass, the same for sampling, encoding and decoding.

        Args:
            source: Asked for every latent tensor, from the top down.
            evidence: Of :meth:`infer`, or None where no image is at hand.
            batch: Number of images.
            height: Of the images in pixels, even.
            width: Of the images in pixels, even.

        Returns:
            The likelihood's parameters, [batch, 3, height, width].
        """
        shape = (batch, -1, height // self.stride, width // self.stride)
        x = self.top.view(1, -1, 1, 1).expand(shape)
        found = evidence if evidence is not None else [None] * len(self.blocks)
        blocks = zip(reversed(self.blocks), found, strict=True)
        for tensor, (block, block_evidence) in enumerate(blocks):
            x = block.down(x, source, block_evidence, tensor)
        # Half precision ends here: the likelihood resolves fractions of a grey level.
        with torch.autocast(x.device.type, enabled=False):
            return self.likelihood(self.last(functional.elu(full_precision(x))))

    def forward(self, pixels: Float[Tensor, "n 3 h w"], source: LatentSource) -> LogisticParameters:
        """Inference followed by generation: what training and encoding run."""
        n, _, height, width = pixels.shape
        return self.generate(source, self.infer(pixels), n, height, width)
