"""MS-SSIM: how close a decoded image is to its original, for measuring and for training.

It is that of Wang, Simoncelli and Bovik 2003, in the convention of published rate-distortion
curves (TensorFlow's ``ssim_multiscale``, pytorch-msssim): means over the windows that lie within
the image, the product over scales for each channel, then the mean over channels. torchmetrics'
version also counts windows beyond the border at the coarsest scale and multiplies means over
channels, which is another number.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

PEAK = 255.0
WINDOW_SIZE = 11
WINDOW_SIGMA = 1.5
# Exponents of the scales, finest first (Wang et al. 2003, section 3.2).
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
# The window must fit into the coarsest scale: 161 pixels.
MS_SSIM_MIN_SIDE = (WINDOW_SIZE - 1) * 2 ** (len(SCALE_WEIGHTS) - 1) + 1
_LUMINANCE_CONSTANT = (0.01 * PEAK) ** 2
_CONTRAST_CONSTANT = (0.03 * PEAK) ** 2


def ms_ssim(a: UInt8[np.ndarray, "h w c"], b: UInt8[np.ndarray, "h w c"]) -> float | None:
    """Multi-scale structural similarity, 0 to 1; 1 for equal images.

    Args:
        a: uint8 [h, w, c], any number of channels.
        b: The other image; the order does not matter.

    Returns:
        None for images of less than 161 pixels (:data:`MS_SSIM_MIN_SIDE`) height or width, whose
        coarsest scale is smaller than the window.
    """
    if min(a.shape[:2]) < MS_SSIM_MIN_SIDE:
        return None
    # Copies: torch takes no read-only arrays and no negative strides.
    x, y = (torch.from_numpy(image.transpose(2, 0, 1)[None].copy()) for image in (a, b))
    # In float64, since variances are differences of large numbers.
    return float(batch_ms_ssim(x.double(), y.double()))


def batch_ms_ssim(
    x: Float[Tensor, "n c h w"],
    y: Float[Tensor, "n c h w"],
    weights: Sequence[float] = SCALE_WEIGHTS,
    floor: float = 0.0,
) -> Float[Tensor, " n"]:
    """:func:`ms_ssim` of each image of a batch, on its own device and in its precision.

    Args:
        x: Grey levels 0 .. 255, :data:`MS_SSIM_MIN_SIDE` pixels high and wide or more.
        y: The other images.
        weights: Exponents of the scales, finest first.
        floor: Least mean of a scale that counts. Means below 0 (inverted structure) have no
            fractional power; where one is above 0, gradients are finite.
    """
    product = x.new_ones(x.shape[:2])
    for scale, weight in enumerate(weights):
        if scale > 0:
            x, y = _halved(x), _halved(y)
        similarity, contrast = _ssim_and_contrast(x, y)
        is_coarsest = scale == len(weights) - 1
        product = product * (similarity if is_coarsest else contrast).clamp(min=floor) ** weight
    return product.mean(dim=1)


def _ssim_and_contrast(
    x: Float[Tensor, "n c h w"], y: Float[Tensor, "n c h w"]
) -> tuple[Float[Tensor, "n c"], Float[Tensor, "n c"]]:
    """SSIM, and its contrast and structure part, averaged over all windows."""
    mean_x, mean_y = _windowed(x), _windowed(y)
    variance_sum = _windowed(x * x + y * y) - mean_x * mean_x - mean_y * mean_y
    covariance = _windowed(x * y) - mean_x * mean_y
    contrast = (2.0 * covariance + _CONTRAST_CONSTANT) / (variance_sum + _CONTRAST_CONSTANT)
    luminance = (2.0 * mean_x * mean_y + _LUMINANCE_CONSTANT) / (
        mean_x * mean_x + mean_y * mean_y + _LUMINANCE_CONSTANT
    )
    return (luminance * contrast).mean(dim=(2, 3)), contrast.mean(dim=(2, 3))


def _windowed(x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h_ w_"]:
    """Gaussian-weighted means over the windows that lie within the image."""
    offsets = torch.arange(WINDOW_SIZE, dtype=x.dtype, device=x.device) - WINDOW_SIZE // 2
    weights = (-offsets.square() / (2.0 * WINDOW_SIGMA**2)).exp()
    weights = weights / weights.sum()
    n, c, h, w = x.shape
    planes = x.reshape(n * c, 1, h, w)
    planes = F.conv2d(F.conv2d(planes, weights.view(1, 1, -1, 1)), weights.view(1, 1, 1, -1))
    return planes.squeeze(1).unflatten(0, (n, c))


def _halved(x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h_ w_"]:
    """Means of 2x2 pixels; an odd last row or column is repeated."""
    h, w = x.shape[2:]
    return F.avg_pool2d(F.pad(x, (0, w % 2, 0, h % 2), mode="replicate"), 2)
