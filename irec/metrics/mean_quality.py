"""Mean PSNR and MS-SSIM of a set of images, over any number of processes."""

import torch
from jaxtyping import UInt8
from torch import Tensor
from torchmetrics import Metric

from irec.metrics.quality import MS_SSIM_MIN_SIDE, batch_ms_ssim, batch_psnr_db


class _MeanOverImages(Metric):
    """Sum and count; as int64 and float64, so that the order of images hardly matters."""

    full_state_update = False
    higher_is_better = True
    total: Tensor
    n_images: Tensor

    def __init__(self) -> None:
        """Start from zero."""
        super().__init__()
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("n_images", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def compute(self) -> Tensor:
        """The mean over images, float64; NaN before the first update."""
        return self.total / self.n_images

    def _add(self, values: Tensor) -> None:
        self.total += values.sum()
        self.n_images += len(values)


class MeanPSNR(_MeanOverImages):
    """Mean over images of each image's PSNR in dB, on 8-bit values.

    Not PSNR of the pooled squared error, which torchmetrics gives by default and which is lower by
    several dB. Infinity if any image is reproduced exactly.
    """

    def update(self, decoded: UInt8[Tensor, "n c h w"], original: UInt8[Tensor, "n c h w"]) -> None:
        """Add a batch of images, uint8 [n, c, h, w]."""
        self._add(batch_psnr_db(decoded, original))


class MeanMsSsim(_MeanOverImages):
    """Mean over images of each image's MS-SSIM, 0 to 1.

    Images of less than 161 pixels a side have none and are not counted.
    """

    def update(self, decoded: UInt8[Tensor, "n c h w"], original: UInt8[Tensor, "n c h w"]) -> None:
        """Add a batch of images, uint8 [n, c, h, w]."""
        if min(decoded.shape[2:]) >= MS_SSIM_MIN_SIDE:
            self._add(batch_ms_ssim(decoded, original))
