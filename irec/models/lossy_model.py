"""What lossy models have in common: two passes, cut where latents stand at 1/16 of the image.

One model serves many qualities: features are scaled and shifted, and tables read, as the trade-off
lambda asks. Whatever is learned is learned at a few lambdas (anchors); an anchor position between 0
and the number of anchors less one says between which of them an image's lambda lies.
"""

import itertools
from collections.abc import Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from irec.errors import InvalidParameterError
from irec.models.sources import LatentSource

Distortion = Literal["mse", "ms_ssim", "ms_ssim_unweighted"]
"""What a model is trained on: squared errors, MS-SSIM with its usual exponents, or with exponents
that are all one, as the paper's figures have it (arXiv 2010.01185)."""

Images = Float[Tensor, "n 3 h w"]
"""Grey levels 0 .. 255 in floating point."""
AnchorPositions = Float[Tensor, " n"]
"""Of each image's lambda, where it lies among the model's anchors."""

# Pixels along a side for each position of what analysis gives and synthesis takes.
POSITION_PIXELS = 16


class LossyModel(nn.Module):
    """Base class: a subclass fills in the parts of the two passes.

    Analysis and synthesis are local: a position depends on pixels of its own 16x16 block and of two
    more on each side, and a pixel likewise on positions. So the codec can run them in bands.

    Attributes:
        config: Has `lambdas`, the anchors of the model's qualities, and `distortion`.
        stride: Height and width of an image must be multiples of this.
    """

    config: Any
    stride = 64

    @property
    def n_latent_tensors(self) -> int:
        """How many tensors the generative pass asks a source for."""
        return len(self.n_latent_dims(self.stride, self.stride))

    def n_latent_dims(self, height: int, width: int) -> list[int]:
        """Dimensions of each latent tensor of one image whose sides are multiples of `stride`."""
        raise NotImplementedError

    def analyse(
        self, pixels: Images, anchor_position: AnchorPositions
    ) -> Float[Tensor, "n _c h16 w16"]:
        """Return the local part of :meth:`infer`."""
        raise NotImplementedError

    def evidence(self, analysed: Float[Tensor, "n _c h16 w16"], anchor_position: Tensor) -> Any:
        """Return the rest of :meth:`infer`."""
        raise NotImplementedError

    def latents(
        self,
        source: LatentSource,
        evidence: Any,
        height: int,
        width: int,
        anchor_position: AnchorPositions,
    ) -> Float[Tensor, "n _c h16 w16"]:
        """:meth:`generate` as far as the latents, and whatever else the synthesis needs."""
        raise NotImplementedError

    def synthesise(
        self, latents: Float[Tensor, "n _c h16 w16"], anchor_position: AnchorPositions
    ) -> Images:
        """Return the rest of :meth:`generate`."""
        raise NotImplementedError

    def coefficient_noise(self, anchor_position: AnchorPositions) -> Tensor | None:
        """Return the standard deviation, [n, c, 1, 1], of the noise of sent coefficients.

        None where the evidence has no attribute `coefficients` whose noisy values are the latents.
        """
        return None

    def infer(self, pixels: Images, anchor_position: AnchorPositions) -> Any:
        """Bottom-up pass."""
        return self.evidence(self.analyse(pixels, anchor_position), anchor_position)

    def generate(
        self,
        source: LatentSource,
        evidence: Any,
        height: int,
        width: int,
        anchor_position: AnchorPositions,
    ) -> Images:
        """Top-down pass, the same for sampling, encoding and decoding.

        Args:
            source: Asked for one latent tensor after the other.
            evidence: Of :meth:`infer`, or None where no image is at hand.
            height: Of the images in pixels, a multiple of `stride`.
            width: likewise.
            anchor_position: Its length is the number of images.

        Returns:
            The images in grey levels, neither rounded nor clipped to 0 .. 255.
        """
        latents = self.latents(source, evidence, height, width, anchor_position)
        return self.synthesise(latents, anchor_position)

    def forward(
        self, pixels: Images, source: LatentSource, anchor_position: AnchorPositions
    ) -> Images:
        """Inference followed by generation: what training and encoding run."""
        height, width = pixels.shape[2:]
        evidence = self.infer(pixels, anchor_position)
        return self.generate(source, evidence, height, width, anchor_position)


def lambda_at(
    anchor_position: AnchorPositions, lambdas: Sequence[float] | Float[Tensor, " _a"]
) -> Float[Tensor, " n"]:
    """Return the lambda of each anchor position: even on a logarithmic scale between two.

    Args:
        anchor_position: From 0 to the number of anchors less one.
        lambdas: Of the anchors, ascending; a tensor beside the positions is not copied.
    """
    anchors = torch.as_tensor(lambdas, dtype=anchor_position.dtype, device=anchor_position.device)
    left = anchor_position.long()
    right = (left + 1).clamp(max=len(anchors) - 1)
    return anchors[left] * (anchors[right] / anchors[left]) ** (anchor_position - left)


def _neighbours(anchor_position: AnchorPositions, n_anchors: int) -> Float[Tensor, "n a"]:
    """Weights of the anchors: a hat around each, so that the two neighbours' sum to one."""
    anchors = torch.arange(n_anchors, device=anchor_position.device, dtype=anchor_position.dtype)
    return (1.0 - (anchor_position[:, None] - anchors).abs()).clamp(min=0.0)


class GainUnit(nn.Module):
    """Scales and shifts channels; with one anchor there is nothing to learn.

    After the gain units of arXiv 2003.02012: scales are interpolated geometrically between anchors,
    shifts linearly.
    """

    def __init__(self, channels: int, n_anchors: int) -> None:
        """Start as the identity at every quality."""
        super().__init__()
        self.n_anchors = n_anchors
        if n_anchors > 1:
            self.log_gain = nn.Parameter(torch.zeros(n_anchors, channels))
            self.shift = nn.Parameter(torch.zeros(n_anchors, channels))

    def forward(
        self, x: Float[Tensor, "n c h w"], anchor_position: AnchorPositions
    ) -> Float[Tensor, "n c h w"]:
        """Apply the gains and shifts of each image's anchor position."""
        if self.n_anchors == 1:
            return x
        weights = _neighbours(anchor_position, self.n_anchors)
        gain = torch.exp(weights @ self.log_gain.to(weights.dtype))
        shift = weights @ self.shift.to(weights.dtype)
        return x * gain[:, :, None, None].to(x.dtype) + shift[:, :, None, None].to(x.dtype)


class AnchorTable(nn.Module):
    """A number for each channel, interpolated between its values at the anchors."""

    def __init__(self, channels: int, n_anchors: int) -> None:
        """Start at zero."""
        super().__init__()
        self.values = nn.Parameter(torch.zeros(n_anchors, channels))

    def forward(self, anchor_position: AnchorPositions) -> Float[Tensor, "n c 1 1"]:
        """Return the numbers of each image's anchor position."""
        weights = _neighbours(anchor_position, len(self.values))
        # No matrix product: autocast would take it to half precision.
        values = (weights[:, :, None] * self.values.to(weights.dtype)).sum(1)
        return values[:, :, None, None]


def check_ascending(config: Any, *names: str) -> None:
    """Make tuples of a configuration's sequences, which JSON has as lists, and check them.

    Raises:
        InvalidParameterError: One is empty, or does not rise from above 0.
    """
    for name in names:
        values = tuple(getattr(config, name))
        object.__setattr__(config, name, values)
        if not values or any(a >= b for a, b in itertools.pairwise((0, *values))):
            raise InvalidParameterError(f"{name} must be positive and ascending, not {[*values]}")
