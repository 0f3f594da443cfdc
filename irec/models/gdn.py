"""Generalised divisive normalisation (arXiv 1511.06281, eq. 1; 1611.01704)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

_MIN_BETA = 1e-6


class GDN(nn.Module):
    """y_i = x_i / sqrt(beta_i + sum_j gamma_ij x_j^2) at each position, or its inverse.

    beta and gamma are squares of the stored parameters, so that they cannot become negative.
    """

    def __init__(self, channels: int, inverse: bool = False) -> None:
        """Start near the identity.

        Args:
            channels: Of input and output.
            inverse: Whether to multiply by the root instead: a rough inverse, for synthesis.
        """
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
