"""Mixtures of discretised logistics over the three colours of a pixel.

A pixel's values are drawn together: a component is chosen, then red, then green given red, then
blue given both (PixelCNN++, arXiv 1701.05517, section 2.2). Training and sampling read the
parameters here; files depend on them rounded to whole numbers (:mod:`irec.bitstream.grid`).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

# Bounds of the log-scale in grey levels: below, a bin holds all the mass; above, none is left.
MIN_LOG_SCALE = -4.0
MAX_LOG_SCALE = 5.0
MAX_COUPLING = 2.0


@dataclass(frozen=True)
class MixtureParameters:
    """Mixtures of k components for pixels [n, 3, h, w], in grey levels.

    Component k has red at `mean[:, k, 0]`, green at `mean[:, k, 1] + coupling[:, k, 0] (r - b_r)`,
    blue at `mean[:, k, 2] + coupling[:, k, 1] (r - b_r) + coupling[:, k, 2] (g - b_g)`, where b is
    `base`, the classical prediction.

    Attributes:
        base: [n, 3, h, w].
        mean: [n, k, 3, h, w].
        log_scale: [n, k, 3, h, w], natural logarithm.
        coupling: [n, k, 3, h, w].
        logit: [n, k, h, w], of the components.
    """

    base: Float[Tensor, "n 3 h w"]
    mean: Float[Tensor, "n k 3 h w"]
    log_scale: Float[Tensor, "n k 3 h w"]
    coupling: Float[Tensor, "n k 3 h w"]
    logit: Float[Tensor, "n k h w"]

    def conditional_mean(self, pixels: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n k 3 h w"]:
        """Each component's mean of each colour given the colours before it, grey levels."""
        error = (pixels - self.base)[:, None]
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
        centred = pixels[:, None] - self.conditional_mean(pixels)
        centred, log_scale = centred[:, :, :n_channels], self.log_scale[:, :, :n_channels]
        inverse_scale = torch.exp(-log_scale)
        # F(b) - F(a) = F(b) F(-a) (1 - exp(a - b)): no cancellation, however far in the tails.
        log_below = functional.logsigmoid((centred + 0.5) * inverse_scale)
        log_above = functional.logsigmoid((0.5 - centred) * inverse_scale)
        log_inside = log_below + log_above + torch.log(-torch.expm1(-inverse_scale))
        value = pixels[:, None, :n_channels]
        log_bin = torch.where(value < 0.5, log_below, log_inside)
        log_bin = torch.where(value > 254.5, log_above, log_bin)
        return torch.logsumexp(log_bin.sum(2) + torch.log_softmax(self.logit, 1), dim=1)

    def typical(self) -> Float[Tensor, "n 3 h w"]:
        """Each pixel at the mean of its likeliest component, colour by colour, in 0 .. 255."""
        pixels = self.base
        for _ in range(3):  # green follows red, then blue both
            mean = self.conditional_mean(pixels)
            index = self.logit.argmax(1)[:, None, None].expand(-1, 1, 3, -1, -1)
            pixels = mean.gather(1, index)[:, 0]
        return pixels.clamp(0.0, 255.0)

    def sample(self, generator: torch.Generator | None = None) -> Float[Tensor, "n 3 h w"]:
        """Draw pixels: whole numbers 0 .. 255.

        Args:
            generator: Source of randomness; torch's global one where it is None.
        """
        n, k, h, w = self.logit.shape
        weights = self.logit.softmax(1).movedim(1, -1).reshape(-1, k)
        chosen = torch.multinomial(weights, 1, generator=generator).view(n, 1, 1, h, w)
        index = chosen.expand(-1, 1, 3, -1, -1)
        scale = self.log_scale.gather(1, index)[:, 0].exp()
        uniform = torch.rand(scale.shape, generator=generator, dtype=scale.dtype)
        noise = scale * torch.logit(uniform.to(scale.device), eps=1e-6)
        pixels = self.base
        for colour in range(3):
            drawn = self.conditional_mean(pixels).gather(1, index)[:, 0] + noise
            drawn = drawn.round().clamp(0.0, 255.0)
            keep = torch.arange(3, device=pixels.device).view(1, 3, 1, 1) < colour
            pixels = torch.where(keep, pixels, drawn)
        return pixels
