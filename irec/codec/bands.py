"""The convolutions near the pixels, in bands of rows: memory stays bounded for any image.

A band overlaps its neighbours by what its outermost outputs can see, so that cutting changes no
value by more than float64's rounding.
"""

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from irec.models.two_level_vae import TwoLevelVAE

# Pixels of a band, overlap aside; 80 channels of float64 at half resolution take 80 MB.
_BAND_PIXELS = 1 << 19
# Pixels of a row of z1.
ROW_PIXELS = 16
# Rows of z1 that a pixel can see beyond its own, and that can see a pixel: four 5x5 convolutions
# of stride 2 reach 1 + 1/2 + 1/4 + 1/8 rows.
_OVERLAP = 2


def analyse(
    model: TwoLevelVAE, pixels: UInt8[np.ndarray, "3 h w"], position: Float[Tensor, "1"]
) -> tuple[Tensor, Tensor]:
    """Mean and raw scale that the analysis gives, in the model's precision.

    Args:
        model: on the device where it is to run.
        pixels: sides are multiples of 64.
        position: of lambda among the anchors.
    """
    weight = position
    parts = []
    for start, stop, first, last in bands_of(pixels.shape[1], pixels.shape[2]):
        rows = np.ascontiguousarray(pixels[:, first * ROW_PIXELS : last * ROW_PIXELS])
        band = torch.from_numpy(rows)[None].to(weight.device, weight.dtype)
        kept = slice(start - first, stop - first)
        parts.append([value[:, :, kept] for value in model.analysis(band, position)])
    mean, raw_scale = (torch.cat(values, dim=2) for values in zip(*parts, strict=True))
    return mean, raw_scale


def render(
    model: TwoLevelVAE, z1: Float[Tensor, "1 z h w"], position: Float[Tensor, "1"]
) -> UInt8[np.ndarray, "3 _h _w"]:
    """The image that the synthesis makes of z1, rounded to grey levels."""
    height, width = z1.shape[2] * ROW_PIXELS, z1.shape[3] * ROW_PIXELS
    image = np.empty((3, height, width), dtype=np.uint8)
    for start, stop, first, last in bands_of(height, width):
        band = model.synthesis(z1[:, :, first:last], position)[0].round().clamp(0.0, 255.0)
        kept = band[:, (start - first) * ROW_PIXELS : (stop - first) * ROW_PIXELS]
        image[:, start * ROW_PIXELS : stop * ROW_PIXELS] = kept.to(torch.uint8).cpu().numpy()
    return image


def bands_of(height: int, width: int) -> Iterator[tuple[int, int, int, int]]:
    """Rows of z1 that each band keeps [start, stop), and those that it needs [first, last).

    Args:
        height: of the padded image in pixels.
        width: likewise.
    """
    n_rows = height // ROW_PIXELS
    n_kept = max(1, _BAND_PIXELS // (width * ROW_PIXELS))
    for start in range(0, n_rows, n_kept):
        stop = min(start + n_kept, n_rows)
        yield start, stop, max(0, start - _OVERLAP), min(n_rows, stop + _OVERLAP)
