"""A lossy model's passes near the pixels, for images of any size, and inference fitted to an image.

Convolutions near the pixels run in bands of rows, so that memory stays bounded. A band overlaps its
neighbours by what its outermost outputs can see, so that cutting changes no value by more than
float64's rounding.

One pass of inference serves all images, and none of them best. A few steps of descent on the
objective itself, lambda 255^2 MSE + bits per pixel, mend that (as arXiv 1906.01223 and 2006.04240
do with quantised latents). The decoder needs nothing of it, so it is the encoder's freedom. Steps
follow the gradient times the variance of the noise that a coefficient is sent with, which is the
Newton step where transform and posterior fit.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.distributions import Normal

from irec.models.lossy_model import POSITION_PIXELS, LossyModel
from irec.models.sources import PosteriorSampler
from irec.progress import Progress

# Pixels of a band, overlap aside; 80 channels of float64 at half resolution take 80 MB.
_BAND_PIXELS = 1 << 19
# Rows that a pixel can see beyond its own, and that can see a pixel: see LossyModel.
_OVERLAP = 2
_STEP = 0.3
# Unlike the seeds of samples, which refinement must not know.
_SEED = 0x5EED


def analyse(
    model: LossyModel, pixels: UInt8[np.ndarray, "3 h w"], position: Float[Tensor, "1"]
) -> Tensor:
    """Return what the model's analysis gives, in the model's precision.

    Args:
        model: On the device where it is to run.
        pixels: Sides are multiples of 64.
        position: Of lambda among the anchors.
    """
    parts = []
    for start, stop, first, last in bands_of(pixels.shape[1], pixels.shape[2]):
        rows = np.ascontiguousarray(pixels[:, first * POSITION_PIXELS : last * POSITION_PIXELS])
        band = torch.from_numpy(rows)[None].to(position.device, position.dtype)
        kept = slice(start - first, stop - first)
        parts.append(model.analyse(band, position)[:, :, kept])
    return torch.cat(parts, dim=2)


def render(
    model: LossyModel, latents: Float[Tensor, "1 c h w"], position: Float[Tensor, "1"]
) -> UInt8[np.ndarray, "3 _h _w"]:
    """Return the image that the synthesis makes of latents, rounded to grey levels."""
    height, width = latents.shape[2] * POSITION_PIXELS, latents.shape[3] * POSITION_PIXELS
    image = np.empty((3, height, width), dtype=np.uint8)
    progress = Progress("rendering", height)
    for start, stop, first, last in bands_of(height, width):
        band = model.synthesise(latents[:, :, first:last], position)[0].round().clamp(0.0, 255.0)
        kept = band[:, (start - first) * POSITION_PIXELS : (stop - first) * POSITION_PIXELS]
        image[:, start * POSITION_PIXELS : stop * POSITION_PIXELS] = (
            kept.to(torch.uint8).cpu().numpy()
        )
        progress.add(kept.shape[1])
    return image


def bands_of(height: int, width: int) -> Iterator[tuple[int, int, int, int]]:
    """Rows of positions that each band keeps [start, stop), and those that it needs [first, last).

    Args:
        height: Of the padded image in pixels.
        width: likewise.
    """
    n_rows = height // POSITION_PIXELS
    n_kept = max(1, _BAND_PIXELS // (width * POSITION_PIXELS))
    for start in range(0, n_rows, n_kept):
        stop = min(start + n_kept, n_rows)
        yield start, stop, max(0, start - _OVERLAP), min(n_rows, stop + _OVERLAP)


@dataclass(frozen=True)
class Refiner:
    """Fits the coefficients of one image.

    Attributes:
        model: In float32.
        pixels: Padded, as the model sees the image.
        size: Height and width of the image itself; padding may look like anything.
        trade_off: lambda.
        position: Of lambda among the model's anchors.
        n_steps: Of descent.
    """

    model: LossyModel
    pixels: UInt8[np.ndarray, "3 h w"]
    size: tuple[int, int]
    trade_off: float
    position: Float[Tensor, "1"]
    n_steps: int

    def refine(self, evidence: Any) -> Any:
        """Evidence with better coefficients; that of z2 stays."""
        noise = self.model.coefficient_noise(self.position.float())
        if noise is None or not self.n_steps:
            return evidence
        # Not even in a mode that forbids gradients does a caller have to know of these.
        with torch.inference_mode(False), torch.enable_grad():
            noise, found = noise.detach().clone(), evidence.coefficients.detach().clone()
            top = Normal(evidence.top.loc.clone(), evidence.top.scale.clone(), validate_args=False)
            generator = torch.Generator(found.device).manual_seed(_SEED)
            for step in range(self.n_steps):
                slope = self._slope(replace(evidence, coefficients=found, top=top), generator)
                # Steps that grow smaller average the noise of the samples out.
                size = _STEP * (1.0 - step / self.n_steps)
                # None is longer than the noise.
                found = found - size * (noise * slope).clamp(-1.0, 1.0) * noise
        return replace(evidence, coefficients=found)

    def _slope(self, evidence: Any, generator: torch.Generator) -> Tensor:
        """Gradient of the objective in nats, at one sample of the posterior."""
        position = self.position.float().clone()
        leaf = evidence.coefficients.requires_grad_()
        source = PosteriorSampler(generator)
        height, width = self.pixels.shape[1:]
        latents = self.model.latents(source, evidence, height, width, position)
        nats = torch.stack([kl.sum() for kl in source.kl_nats[1:]]).sum()
        nats = nats + (latents * self._distortion_slope(latents)).sum()
        (slope,) = torch.autograd.grad(nats, leaf)
        return slope

    def _distortion_slope(self, latents: Tensor) -> Tensor:
        """Gradient of the distortion in nats; bands bound the memory that it takes."""
        slope = torch.zeros_like(latents)
        position = self.position.float().clone()
        height, width = self.size
        nats = self.trade_off * math.log(2.0) / 3.0
        for start, stop, first, last in bands_of(*self.pixels.shape[1:]):
            top, bottom = start * POSITION_PIXELS, min(stop * POSITION_PIXELS, height)
            if top >= bottom:
                continue
            band = latents[:, :, first:last].detach().requires_grad_()
            decoded = self.model.synthesise(band, position)[0, :, :, :width]
            decoded = decoded[:, top - first * POSITION_PIXELS : bottom - first * POSITION_PIXELS]
            rows = np.ascontiguousarray(self.pixels[:, top:bottom, :width])
            error = decoded - torch.from_numpy(rows).to(decoded)
            (found,) = torch.autograd.grad(nats * error.square().sum(), band)
            slope[:, :, first:last] += found
        return slope
