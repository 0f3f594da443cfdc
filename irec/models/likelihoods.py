"""Likelihoods of 8-bit pixels: discretised logistics, one or a mixture for each pixel.

All models produce :class:`LogisticParameters`, the one form that training and sampling (here) and,
rounded to whole numbers, the residual coder (:mod:`irec.bitstream.grid`) read.
"""

import math
from collections.abc import Callable
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
MAX_COUPLING = 2.0
_MIDDLE = 127.5

# A fresh network predicts a scale of 256 exp(-3) = 13 grey levels; from 256, thousands of steps
# would go by before anything else is learnt.
_INITIAL_LOG_SCALE = math.log(256.0) - 3.0


@dataclass(frozen=True)
class LogisticParameters:
    """Mixtures of k discretised logistics for pixels [n, 3, h, w], in grey levels.

    A pixel's values are drawn together: a component is chosen, then red, then green given red, then
    blue given both (PixelCNN++, arXiv 1701.05517, section 2.2). With base b, component k has red at
    `mean[:, k, 0]`, green at `mean[:, k, 1] + coupling[:, k, 0] (r - b_r)`,
    blue at `mean[:, k, 2] + coupling[:, k, 1] (r - b_r) + coupling[:, k, 2] (g - b_g)`.

    Attributes:
        mean: [n, k, 3, h, w].
        log_scale: [n, k, 3, h, w], natural logarithm.
        coupling: [n, k, 3, h, w], or None where the colours are independent.
        logit: [n, k, h, w], of the components, or None where there is one.
        base: [n, 3, h, w], from which couplings count; None stands for 127.5.
    """

    mean: Float[Tensor, "n k 3 h w"]
    log_scale: Float[Tensor, "n k 3 h w"]
    coupling: Float[Tensor, "n k 3 h w"] | None = None
    logit: Float[Tensor, "n k h w"] | None = None
    base: Float[Tensor, "n 3 h w"] | None = None

    def conditional_mean(self, pixels: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n k 3 h w"]:
        """Each component's mean of each colour given the colours before it, grey levels."""
        if self.coupling is None:
            return self.mean
        error = (pixels - (_MIDDLE if self.base is None else self.base))[:, None]
        red, green = error[:, :, 0], error[:, :, 1]
        of_green, red_of_blue, green_of_blue = self.coupling.unbind(2)
        return torch.stack(
            [
                self.mean[:, :, 0],
                self.mean[:, :, 1] + of_green * red,
                self.mean[:, :, 2] + red_of_blue * red + green_of_blue * green,
            ],
            dim=2,
        )

    def log_prob(
        self, pixels: Float[Tensor, "n 3 h w"], n_channels: int = 3
    ) -> Float[Tensor, "n h w"]:
        """Log-probability of each pixel in nats; the end bins are open, so the pmf sums to one.

        Args:
            pixels: Whole numbers 0 .. 255 in floating point.
            n_channels: 1 counts red alone, as for grey images, whose other colours tell nothing.
        """
        log_bin = self.log_bins(pixels, n_channels).sum(2)
        if self.logit is None:
            return log_bin[:, 0]
        return torch.logsumexp(log_bin + torch.log_softmax(self.logit, 1), dim=1)

    def log_bins(
        self, pixels: Float[Tensor, "n 3 h w"], n_channels: int = 3
    ) -> Float[Tensor, "n k c h w"]:
        """Log-probability of each value under each component, given the colours before it, in nats.

        Args:
            pixels: Whole numbers 0 .. 255 in floating point.
            n_channels: c; 1 leaves out all but red.
        """
        centred = pixels[:, None] - self.conditional_mean(pixels)
        centred, log_scale = centred[:, :, :n_channels], self.log_scale[:, :, :n_channels]
        inverse_scale = torch.exp(-log_scale)
        # F(b) - F(a) = F(b) F(-a) (1 - exp(a - b)): no cancellation, however far in the tails.
        log_below = functional.logsigmoid((centred + 0.5) * inverse_scale)
        log_above = functional.logsigmoid((0.5 - centred) * inverse_scale)
        log_inside = log_below + log_above + torch.log(-torch.expm1(-inverse_scale))
        value = pixels[:, None, :n_channels]
        log_bin = torch.where(value < 0.5, log_below, log_inside)
        return torch.where(value > 254.5, log_above, log_bin)

    def typical(self) -> Float[Tensor, "n 3 h w"]:
        """Each pixel at the mean of its likeliest component, colour by colour, in 0 .. 255."""
        pixels = torch.zeros_like(self.mean[:, 0])
        for _ in range(3):  # green follows red, then blue both
            pixels = self._of_component(self.conditional_mean(pixels), self._likeliest())
        return pixels.clamp(0.0, 255.0)

    def sample(self, generator: torch.Generator | None = None) -> Float[Tensor, "n 3 h w"]:
        """Draw pixels: whole numbers 0 .. 255.

        Args:
            generator: Source of randomness; torch's global one where it is None.
        """
        index = self._likeliest()
        if self.logit is not None:
            n, k, h, w = self.logit.shape
            weights = self.logit.softmax(1).movedim(1, -1).reshape(-1, k)
            index = torch.multinomial(weights, 1, generator=generator).view(n, h, w)
        scale = self._of_component(self.log_scale, index).exp()
        uniform = torch.rand(scale.shape, generator=generator, dtype=scale.dtype)
        noise = scale * torch.logit(uniform.to(scale.device), eps=1e-6)
        pixels = torch.zeros_like(scale)
        for colour in range(3):
            drawn = self._of_component(self.conditional_mean(pixels), index) + noise
            pixels[:, colour] = drawn[:, colour].round().clamp(0.0, 255.0)
        return pixels

    def each(self, change: Callable[[Tensor], Tensor]) -> "LogisticParameters":
        """Change every part that is there alike; its last axes are height and width."""
        parts = (self.mean, self.log_scale, self.coupling, self.logit, self.base)
        return LogisticParameters(*(None if part is None else change(part) for part in parts))  # type: ignore[arg-type]

    def cropped(self, height: int, width: int, images: slice = slice(None)) -> "LogisticParameters":
        """Of the first `height` rows and `width` columns, of some or all images."""
        return self.each(lambda part: part[images, ..., :height, :width])

    def _likeliest(self) -> Tensor:
        """Index of the component of largest weight, [n, h, w]."""
        if self.logit is None:
            return torch.zeros_like(self.mean[:, 0, 0], dtype=torch.int64)
        return self.logit.argmax(1)

    @staticmethod
    def _of_component(values: Float[Tensor, "n k 3 h w"], index: Tensor) -> Tensor:
        """Values of one component for each pixel, [n, 3, h, w]."""
        return values.gather(1, index[:, None, None].expand(-1, 1, 3, -1, -1))[:, 0]


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
        mean = _to_grey_levels(raw)[:, None]
        return LogisticParameters(mean, _bounded_log_scale(self.raw_log_scale).expand_as(mean))


class ConditionalLogistic(nn.Module):
    """Scales per pixel and channel; green conditioned on red, blue on red and green."""

    n_parameters = 9

    def forward(self, raw: Float[Tensor, "n 9 h w"]) -> LogisticParameters:
        """Turn the network's output into parameters.

        The network predicts marginal means, and coefficients for how far the earlier channels
        fell from theirs; they are rewritten for centred pixel values here.
        """
        raw_mean, raw_log_scale, raw_coupling = (part[:, None] for part in raw.chunk(3, dim=1))
        # Channels of photographs follow each other nearly one to one: start there.
        start = raw.new_tensor([1.0, 0.0, 1.0]).view(1, 1, 3, 1, 1)
        coupling = MAX_COUPLING * torch.tanh(raw_coupling + math.atanh(0.45) * start)
        marginal, log_scale = _to_grey_levels(raw_mean), _bounded_log_scale(raw_log_scale)
        centred = LogisticParameters(marginal, log_scale, -coupling)
        return LogisticParameters(centred.conditional_mean(marginal[:, 0]), log_scale, coupling)


Likelihood = Logistic | ConditionalLogistic
_CLASSES: dict[str, type[Likelihood]] = {
    "logistic": Logistic,
    "conditional_logistic": ConditionalLogistic,
}


def make_likelihood(name: str) -> Likelihood:
    """Build the likelihood called `name`; raises InvalidParameterError where there is none."""
    if name not in _CLASSES:
        names = ", ".join(_CLASSES)
        raise InvalidParameterError(f"unknown likelihood {name!r}: choose one of {names}")
    return _CLASSES[name]()
