"""Where a generative pass gets latent tensors and pixels from: the seam between models and coder.

A model has ONE generative pass, which asks a :class:`LatentSource` for each latent tensor and,
where pixels are coded in the context of others, a :class:`PixelSource` for those of each phase.
Sampling and training (here), encoding and decoding (:mod:`irec.codec.latent_sources`,
:mod:`irec.codec.lattice`) differ in nothing else, so that encoder and decoder cannot diverge.
"""

from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from irec.models.likelihoods import LogisticParameters


@runtime_checkable
class LatentSource(Protocol):
    """Called once for each latent tensor, in the order of the generative pass."""

    def __call__(self, prior: Normal, posterior: Normal | None, tensor: int) -> Tensor:
        """Choose a value for a latent tensor.

        Args:
            prior: p(z | what was generated so far), batch shape [n, c, h, w].
            posterior: q(z | image, what was generated so far) of the same shape, or None where
                no image is at hand.
            tensor: Its number, counted from 0 in the order of the generative pass.

        Returns:
            z, [n, c, h, w].
        """
        ...


@dataclass
class PriorSampler:
    """Draws every latent tensor from its prior: samples of the model.

    Attributes:
        generator: Source of randomness; torch's global one where it is None.
    """

    generator: torch.Generator | None = None

    def __call__(self, prior: Normal, posterior: Normal | None, tensor: int) -> Tensor:
        """Draw z from the prior."""
        return _draw(prior, self.generator)


@dataclass
class PosteriorSampler:
    """Draws every latent tensor from its posterior, and keeps the KL divergences.

    Attributes:
        generator: As in :class:`PriorSampler`.
        kl_nats: One tensor [n, c, h, w] of KL(posterior || prior) for each call.
    """

    generator: torch.Generator | None = None
    kl_nats: list[Tensor] = field(default_factory=list)

    def __call__(self, prior: Normal, posterior: Normal | None, tensor: int) -> Tensor:
        """Draw z from the posterior."""
        if posterior is None:
            raise ValueError("PosteriorSampler needs a posterior: run the inference pass first")
        self.kl_nats.append(kl_divergence(posterior, prior))
        return _draw(posterior, self.generator)


def _draw(gaussian: Normal, generator: torch.Generator | None) -> Tensor:
    """Return mean + scale * noise, so that gradients reach both (the reparameterisation trick)."""
    mean = gaussian.loc
    noise = torch.randn(mean.shape, generator=generator, dtype=mean.dtype, device=mean.device)
    return mean + gaussian.scale * noise


class Place(NamedTuple):
    """Which pixels of an image: those at [first_row::stride, first_column::stride].

    Attributes:
        stride: Of the pixels, in both directions.
        first_row: Of the pixels.
        first_column: Of the pixels.
    """

    stride: int
    first_row: int
    first_column: int

    def cut(self, image: Any) -> Any:
        """Return these pixels of an image [..., h, w], an array or a tensor."""
        return image[..., self.first_row :: self.stride, self.first_column :: self.stride]


@runtime_checkable
class PixelSource(Protocol):
    """Called once for each phase, in the order of the generative pass."""

    def __call__(self, parameters: LogisticParameters, place: Place) -> Float[Tensor, "n 3 _h _w"]:
        """Choose the values of some pixels.

        Args:
            parameters: Of cells [n, 3, h, w]. At the lower and right border, cells may lack these
                pixels; their parameters mean nothing.
            place: Where the pixels are.

        Returns:
            Their values, in 0 .. 255; as many rows and columns as the image has of them.
        """
        ...


@dataclass
class KnownPixels:
    """A pixel source that knows the images, and sums up what they cost; for training.

    Attributes:
        image: [n, 3, h, w], whole numbers 0 .. 255.
        n_channels: 1 counts red alone, as for grey images.
        nats: For each phase so far -log p of each image, [n].
    """

    image: Float[Tensor, "n 3 h w"]
    n_channels: int = 3
    nats: list[Float[Tensor, " n"]] = field(default_factory=list)

    def __call__(self, parameters: LogisticParameters, place: Place) -> Tensor:
        """Return the true pixels."""
        pixels = place.cut(self.image)
        given = parameters.cropped(*pixels.shape[2:])
        self.nats.append(-given.log_prob(pixels, self.n_channels).sum((1, 2)))
        return pixels


class PredictedPixels(KnownPixels):
    """A pixel source that knows the images, and keeps what the model expected.

    Attributes:
        expected: [n, 3, h, w], 0 .. 255: each pixel's likeliest component given those before it.
    """

    def __init__(self, image: Float[Tensor, "n 3 h w"]) -> None:
        """Set up the source; `image` holds whole numbers 0 .. 255."""
        super().__init__(image)
        self.expected = torch.zeros_like(image)

    def __call__(self, parameters: LogisticParameters, place: Place) -> Tensor:
        """Return the true pixels."""
        pixels = super().__call__(parameters, place)
        place.cut(self.expected)[:] = parameters.cropped(*pixels.shape[2:]).typical()
        return pixels


@dataclass
class SampledPixels:
    """A pixel source that draws from the model.

    Attributes:
        size: Height and width of the images.
        generator: As in :class:`PriorSampler`.
    """

    size: tuple[int, int]
    generator: torch.Generator | None = None

    def __call__(self, parameters: LogisticParameters, place: Place) -> Tensor:
        """Draw pixels."""
        shape = place.cut(torch.empty(self.size, device="meta")).shape
        return parameters.cropped(*shape).sample(self.generator)
