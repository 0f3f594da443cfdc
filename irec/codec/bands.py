"""The convolutions near the pixels, in bands of rows: memory stays bounded for any image.

A band overlaps its neighbours by what its outermost outputs can see, so that cutting changes no
value by more than float64's rounding.
"""

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from irec.models.lossy_model import POSITION_PIXELS, LossyModel
from irec.progress import Progress

# Pixels of a band, overlap aside; 80 channels of float64 at half resolution take 80 MB.
_BAND_PIXELS = 1 << 19
# Rows that a pixel can see beyond its own, and that can see a pixel: see LossyModel.
_OVERLAP = 2


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
