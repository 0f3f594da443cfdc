"""A lossy model's passes near the pixels, for images of any size, and inference fitted to an image.

Convolutions near the pixels run in windows, so that memory stays bounded: in bands of rows, which
are cut in columns too where an image is very wide. A window overlaps its neighbours by what its
outermost outputs can see, so that cutting changes no value by more than float64's rounding.

One pass of inference serves all images, and none of them best. A few steps of descent on the
objective itself, lambda 255^2 MSE + bits per pixel, mend that (as arXiv 1906.01223 and 2006.04240
do with quantised latents). The decoder needs nothing of it, so it is the encoder's freedom. Steps
follow the gradient times the variance of the noise that a coefficient is sent with, which is the
Newton step where transform and posterior fit.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.distributions import Normal

from irec.models.lossy_model import POSITION_PIXELS, LossyModel
from irec.models.sources import PosteriorSampler
from irec.progress import Progress

# Pixels of a window, overlap aside; 80 channels of float64 at half resolution take 80 MB.
_WINDOW_PIXELS = 1 << 19
# Positions that a pixel can see beyond its own, and that can see a pixel: see LossyModel.
_OVERLAP = 2
_STEP = 0.3
# Unlike the seeds of samples, which refinement must not know.
_SEED = 0x5EED


def analyse(
    model: LossyModel, pixels: UInt8[np.ndarray, "3 h w"], anchor_position: Float[Tensor, "1"]
) -> Tensor:
    """Return what the model's analysis gives of pixels whose sides are multiples of 64."""
    found: Tensor | None = None
    for rows, columns in windows_of(*pixels.shape[1:]):
        seen = np.ascontiguousarray(pixels[:, rows.pixels.needed, columns.pixels.needed])
        window = torch.from_numpy(seen)[None].to(anchor_position.device, anchor_position.dtype)
        part = model.analyse(window, anchor_position)
        part = part[:, :, rows.kept_of_needed, columns.kept_of_needed]
        if found is None:
            height, width = (side // POSITION_PIXELS for side in pixels.shape[1:])
            found = part.new_empty(1, part.shape[1], height, width)
        found[:, :, rows.kept, columns.kept] = part
    assert found is not None
    return found


def render(
    model: LossyModel, latents: Float[Tensor, "1 c h w"], anchor_position: Float[Tensor, "1"]
) -> UInt8[np.ndarray, "3 _h _w"]:
    """Return the image that the synthesis makes of latents, rounded to grey levels."""
    height, width = latents.shape[2] * POSITION_PIXELS, latents.shape[3] * POSITION_PIXELS
    image = np.empty((3, height, width), dtype=np.uint8)
    progress = Progress("rendering", height)
    for rows, columns in windows_of(height, width):
        window = model.synthesise(latents[:, :, rows.needed, columns.needed], anchor_position)[0]
        window = window[:, rows.pixels.kept_of_needed, columns.pixels.kept_of_needed]
        kept = window.round().clamp(0.0, 255.0).to(torch.uint8).cpu().numpy()
        image[:, rows.pixels.kept, columns.pixels.kept] = kept
        if columns.pixels.stop == width:
            progress.add(kept.shape[1])
    return image


class Span(NamedTuple):
    """One side of a window, in positions.

    Attributes:
        start: First that the window keeps.
        stop: Beyond its last.
        first: First that it needs for that.
        last: Beyond its last.
    """

    start: int
    stop: int
    first: int
    last: int

    @property
    def kept(self) -> slice:
        """Of the image's positions."""
        return slice(self.start, self.stop)

    @property
    def needed(self) -> slice:
        """Of the image's positions."""
        return slice(self.first, self.last)

    @property
    def kept_of_needed(self) -> slice:
        """What is kept, of the window's own positions."""
        return slice(self.start - self.first, self.stop - self.first)

    @property
    def pixels(self) -> "Span":
        """The same in pixels."""
        return Span(*(POSITION_PIXELS * one for one in self))


def windows_of(height: int, width: int) -> Iterator[tuple[Span, Span]]:
    """Rows and columns of the windows that cover an image; its padded sides are in pixels."""
    n_rows, n_columns = height // POSITION_PIXELS, width // POSITION_PIXELS
    n_positions = _WINDOW_PIXELS // POSITION_PIXELS**2
    # Wide images are cut in columns too, before their bands need more rows than they keep.
    n_wide = max(1, min(n_columns, n_positions // min(n_rows, 1 + 2 * _OVERLAP)))
    n_high = max(1, n_positions // n_wide)
    for rows in _spans(n_rows, n_high):
        for columns in _spans(n_columns, n_wide):
            yield rows, columns


def _spans(n: int, n_kept: int) -> Iterator[Span]:
    for start in range(0, n, n_kept):
        stop = min(start + n_kept, n)
        yield Span(start, stop, max(0, start - _OVERLAP), min(n, stop + _OVERLAP))


@dataclass(frozen=True)
class Refiner:
    """Fits the coefficients of one image.

    Attributes:
        model: In float32.
        pixels: Padded, as the model sees the image.
        size: Height and width of the image itself; padding may look like anything.
        trade_off: lambda.
        anchor_position: Of lambda among the model's anchors.
        n_steps: Of descent.
    """

    model: LossyModel
    pixels: UInt8[np.ndarray, "3 h w"]
    size: tuple[int, int]
    trade_off: float
    anchor_position: Float[Tensor, "1"]
    n_steps: int

    def refine(self, evidence: Any) -> Any:
        """Evidence with better coefficients; that of z2 stays."""
        noise = self.model.coefficient_noise(self.anchor_position.float())
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
        anchor_position = self.anchor_position.float().clone()
        leaf = evidence.coefficients.requires_grad_()
        source = PosteriorSampler(generator)
        height, width = self.pixels.shape[1:]
        latents = self.model.latents(source, evidence, height, width, anchor_position)
        nats = torch.stack([kl.sum() for kl in source.kl_nats[1:]]).sum()
        nats = nats + (latents * self._distortion_slope(latents)).sum()
        (slope,) = torch.autograd.grad(nats, leaf)
        return slope

    def _distortion_slope(self, latents: Tensor) -> Tensor:
        """Gradient of the distortion in nats; windows bound the memory that it takes."""
        slope = torch.zeros_like(latents)
        anchor_position = self.anchor_position.float().clone()
        height, width = self.size
        nats = self.trade_off * math.log(2.0) / 3.0
        for rows, columns in windows_of(*self.pixels.shape[1:]):
            # Padding may look like anything.
            inside = self.pixels[:, :height, :width][:, rows.pixels.kept, columns.pixels.kept]
            if not inside.size:
                continue
            window = latents[:, :, rows.needed, columns.needed].detach().requires_grad_()
            decoded = self.model.synthesise(window, anchor_position)[0]
            decoded = decoded[:, rows.pixels.kept_of_needed, columns.pixels.kept_of_needed]
            decoded = decoded[:, : inside.shape[1], : inside.shape[2]]
            error = decoded - torch.from_numpy(np.ascontiguousarray(inside)).to(decoded)
            (found,) = torch.autograd.grad(nats * error.square().sum(), window)
            slope[:, :, rows.needed, columns.needed] += found
        return slope
