"""Likelihoods of 8-bit pixels: discretised logistics, as the paper has them and conditioned.

Both produce :class:`LogisticParameters` in grey levels, the one form that the training objective
(here) and the integer residual coder (:mod:`irec.bitstream`) read.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from irec.errors import InvalidParameterError

LikelihoodName = Literal["logistic", "conditional_logistic"]

# Bounds of the log-scale in grey levels: below, a bin holds all the mass; above, none is left.
MIN_LOG_SCALE = -4.0
MAX_LOG_SCALE = 5.0

# A fresh network predicts a scale of 256 exp(-3) = 13 grey levels; from 256, thousands of steps
# would go by before anything else is learnt.
_INITIAL_LOG_SCALE = math.log(256.0) - 3.0


@dataclass(frozen=True)
class LogisticParameters:
    """Parameters of the pixels' discretised logistics, for images with values 0 .. 255.

    In grey levels, red has mean `mean[:, 0]`, green `mean[:, 1] + coupling[:, 0] (r - 127.5)`,
    blue `mean[:, 2] + coupling[:, 1] (r - 127.5) + coupling[:, 2] (g - 127.5)`
    (PixelCNN++'s linear channel autoregression, arXiv 1701.05517, section 2.2).

    Attributes:
        mean: [n, 3, h, w], grey levels.
        log_scale: [n, 3, h, w], natural logarithm of the scale in grey levels.
        coupling: [n, 3, h, w], or None where the channels are independent.
    """

    mean: Float[Tensor, "n 3 h w"]
    log_scale: Float[Tensor, "n 3 h w"]
    coupling: Float[Tensor, "n 3 h w"] | None

    def conditional_mean(self, pixels: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 h w"]:
        """Mean of each channel given the channels before it, grey levels."""
        if self.coupling is None:
            return self.mean
        red, green = pixels[:, 0] - 127.5, pixels[:, 1] - 127.5
        of_green, red_of_blue, green_of_blue = self.coupling.unbind(1)
        shift = torch.stack(
            [torch.zeros_like(red), of_green * red, red_of_blue * red + green_of_blue * green], 1
        )
        return self.mean + shift

    def typical_image(self) -> Float[Tensor, "n 3 h w"]:
        """Each channel at its mean given the earlier channels at theirs, in 0 .. 255."""
        image = self.mean
        for _ in range(2):  # green follows red, then blue both
            image = self.conditional_mean(image)
        return image.clamp(0.0, 255.0)

    def log_prob(self, pixels: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 h w"]:
        """Log-probability of each value in nats; the end bins are open, so the pmf sums to one.

        Args:
            pixels: Whole numbers 0 .. 255 in floating point.
        """
        inverse_scale = torch.exp(-self.log_scale)
        centred = pixels - self.conditional_mean(pixels)
        # F(b) - F(a) = F(b) F(-a) (1 - exp(a - b)): no cancellation, however far in the tails.
        log_below = functional.logsigmoid((centred + 0.5) * inverse_scale)
        log_above = functional.logsigmoid((0.5 - centred) * inverse_scale)
        log_inside = log_below + log_above + torch.log(-torch.expm1(-inverse_scale))
        return torch.where(
            pixels < 0.5, log_below, torch.where(pixels > 254.5, log_above, log_inside)
        )


def _bounded_log_scale(raw: Tensor) -> Tensor:
    """Squash into the bounds smoothly: a hard clamp would leave no gradient to come back by."""
    centre, half = (MAX_LOG_SCALE + MIN_LOG_SCALE) / 2, (MAX_LOG_SCALE - MIN_LOG_SCALE) / 2
    return centre + half * torch.tanh((raw + _INITIAL_LOG_SCALE - centre) / half)


def _to_grey_levels(mean: Tensor) -> Tensor:
    """From the network's range (x + 0.5) / 256 - 0.5 to grey levels x."""
    return 256.0 * (mean + 0.5) - 0.5


class Logistic(nn.Module):
    """The paper's likelihood: a predicted mean, one learned scale for all pixels and channels."""

    n_parameters = 3

    def __init__(self) -> None:
        """Set up the learned log-scale."""
        super().__init__()
        self.raw_log_scale = nn.Parameter(torch.zeros(()))

    def forward(self, raw: Float[Tensor, "n 3 h w"]) -> LogisticParameters:
        """Turn the network's output into parameters."""
        mean = _to_grey_levels(raw)
        return LogisticParameters(
            mean, _bounded_log_scale(self.raw_log_scale).expand_as(mean), coupling=None
        )


class ConditionalLogistic(nn.Module):
    """Scales per pixel and channel; green conditioned on red, blue on red and green."""

    n_parameters = 9

    def forward(self, raw: Float[Tensor, "n 9 h w"]) -> LogisticParameters:
        """Turn the network's output into parameters.

        The network predicts marginal means, and coefficients for how far the earlier channels
        fell from theirs; they are rewritten for centred pixel values here.
        """
        raw_mean, raw_log_scale, raw_coupling = raw.chunk(3, dim=1)
        marginal = _to_grey_levels(raw_mean)
        # Channels of photographs follow each other nearly one to one: start there.
        start = raw.new_tensor([1.0, 0.0, 1.0]).view(1, 3, 1, 1)
        coupling = 2.0 * torch.tanh(raw_coupling + math.atanh(0.45) * start)
        red, green, blue = marginal.unbind(1)
        of_green, red_of_blue, green_of_blue = coupling.unbind(1)
        red_error, green_error = red - 127.5, green - 127.5
        mean = torch.stack(
            [
                red,
                green - of_green * red_error,
                blue - red_of_blue * red_error - green_of_blue * green_error,
            ],
            dim=1,
        )
        return LogisticParameters(mean, _bounded_log_scale(raw_log_scale), coupling)


Likelihood = Logistic | ConditionalLogistic


_CLASSES: dict[str, type[Likelihood]] = {
    "logistic": Logistic,
    "conditional_logistic": ConditionalLogistic,
}


def make_likelihood(name: str) -> Likelihood:
    """Build the likelihood called `name`, one of LikelihoodName.

    Raises:
        InvalidParameterError: There is none of that name.
    """
    if name not in _CLASSES:
        raise InvalidParameterError(
            f"unknown likelihood {name!r}: choose one of {', '.join(_CLASSES)}"
        )
    return _CLASSES[name]()
