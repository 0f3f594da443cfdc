"""Diagonal Gaussian pairs in the prior's whitened coordinate u = (z - mu_p) / sigma_p."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor
from torch.distributions import Normal

from irec.coding.arguments import as_normal
from irec.errors import InvalidParameterError


@dataclass(frozen=True)
class WhitenedPosterior:
    """Posteriors N(m, s^2) against the prior N(0, 1); both ``[*batch, dims]``, float64."""

    mean: Float64[Tensor, "*batch dims"]
    scale: Float64[Tensor, "*batch dims"]

    def kl_nats(self) -> Float64[Tensor, "*batch dims"]:
        """Return KL(posterior || prior) of each dimension, in nats."""
        return 0.5 * (self.mean.square() + self.scale.square() - 1.0) - self.scale.log()

    def reverse_kl_nats(self) -> Float64[Tensor, "*batch dims"]:
        """Return KL(prior || posterior) of each dimension: what a draw from the prior loses."""
        return 0.5 * ((1.0 + self.mean.square()) / self.scale.square() - 1.0) + self.scale.log()

    def log_ratio_nats(self, u: Float64[Tensor, "*batch dims"]) -> Float64[Tensor, "*batch dims"]:
        """Return ln posterior(u) - ln prior(u) of each dimension, in nats."""
        standardised = (u - self.mean) / self.scale
        return 0.5 * (u.square() - standardised.square()) - self.scale.log()


def whiten(posterior: Normal, prior: Normal) -> WhitenedPosterior:
    """Express a batch of posteriors in the coordinates of their priors.

    Args:
        posterior: Parameters of shape ``[n, *shape]``.
        prior: Parameters of the same shape.

    Raises:
        InvalidParameterError: If the shapes differ, a parameter is NaN or infinite, or a scale is
            not positive.
    """
    check_parameters(posterior, "posterior")
    check_parameters(prior, "prior")
    if posterior.loc.shape != prior.loc.shape:
        raise InvalidParameterError(
            f"posterior and prior must have one shape, not {tuple(posterior.loc.shape)} "
            f"and {tuple(prior.loc.shape)}."
        )
    n = posterior.loc.shape[0]
    n_dims = math.prod(posterior.loc.shape[1:])
    mu_q, sigma_q, mu_p, sigma_p = (
        part.detach().double().reshape(n, n_dims)
        for part in (posterior.loc, posterior.scale, prior.loc, prior.scale)
    )
    return WhitenedPosterior((mu_q - mu_p) / sigma_p, sigma_q / sigma_p)


def check_parameters(normal: Normal, name: str) -> None:
    """Raise InvalidParameterError where a mean is not finite or a scale not finite and positive."""
    for part, values in (("mean", normal.loc), ("scale", normal.scale)):
        if not torch.isfinite(values).all():
            raise InvalidParameterError(f"The {name} {part} holds NaN or infinity.")
    if not (normal.scale > 0).all():
        raise InvalidParameterError(f"The {name} scale must be positive.")


def kl_nats(posterior: Normal, prior: Normal) -> Float64[Tensor, ""]:
    """Return KL(posterior || prior) summed over all dimensions, in nats, computed in float64.

    Args:
        posterior: Parameters of any shape.
        prior: Parameters of the same shape.

    Raises:
        InvalidParameterError: As :func:`whiten`.
    """
    return whiten(add_batch(posterior), add_batch(prior)).kl_nats().sum()


def log_ratio_nats(z: Float[Tensor, " *shape"], posterior: Normal, prior: Normal) -> Tensor:
    """Return ln posterior(z) - ln prior(z) summed over all dimensions, in nats, as float64.

    What a code costs beyond ``-log2 p(x)`` is the bits sent less this ratio.

    Raises:
        InvalidParameterError: As :func:`whiten`, or if ``z`` has another shape.
    """
    posterior, prior = as_normal(posterior, "posterior"), as_normal(prior, "prior")
    if z.shape != prior.loc.shape:
        raise InvalidParameterError(
            f"z has shape {tuple(z.shape)}, the prior {tuple(prior.loc.shape)}."
        )
    whitened = whiten(add_batch(posterior), add_batch(prior))
    u = (z.double() - prior.loc.double()) / prior.scale.double()
    return whitened.log_ratio_nats(u.reshape(1, -1)).sum()


def add_batch(normal: Normal) -> Normal:
    """Return the distribution with a leading dimension of size one."""
    normal = as_normal(normal, "distribution")
    return Normal(normal.loc.unsqueeze(0), normal.scale.unsqueeze(0), validate_args=False)
