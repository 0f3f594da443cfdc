"""Where a generative pass gets its latent tensors from: the seam between models and coder.

A model has ONE generative pass, which asks a :class:`LatentSource` for each latent tensor.
Sampling (here), encoding and decoding (:mod:`irec.codec.latent_sources`) differ in nothing else,
so that encoder and decoder cannot diverge.
"""

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence


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


class PriorSampler:
    """Draws every latent tensor from its prior: samples of the model."""

    def __init__(self, temperature: float = 1.0, generator: torch.Generator | None = None) -> None:
        """Set up the sampler.

        Args:
            temperature: Factor on the prior's standard deviation; 0 gives the prior means.
            generator: Source of randomness; torch's global one where it is None.
        """
        self.temperature = temperature
        self.generator = generator

    def __call__(self, prior: Normal, posterior: Normal | None, tensor: int) -> Tensor:
        """Draw z ~ N(mean, (temperature * scale)^2)."""
        noise = torch.randn(
            prior.loc.shape,
            generator=self.generator,
            dtype=prior.loc.dtype,
            device=prior.loc.device,
        )
        return prior.loc + self.temperature * prior.scale * noise


class PosteriorSampler:
    """Draws every latent tensor from its posterior, and keeps the KL divergences.

    Attributes:
        kl_nats: One tensor [n, c, h, w] of KL(posterior || prior) for each call.
    """

    def __init__(self, generator: torch.Generator | None = None) -> None:
        """Set up the sampler; `generator` as in :class:`PriorSampler`."""
        self.generator = generator
        self.kl_nats: list[Tensor] = []

    def __call__(self, prior: Normal, posterior: Normal | None, tensor: int) -> Tensor:
        """Draw z from the posterior with the reparameterisation trick."""
        if posterior is None:
            raise ValueError("PosteriorSampler needs a posterior: run the inference pass first")
        self.kl_nats.append(kl_divergence(posterior, prior))
        noise = torch.randn(
            posterior.loc.shape,
            generator=self.generator,
            dtype=posterior.loc.dtype,
            device=posterior.loc.device,
        )
        return posterior.loc + posterior.scale * noise
