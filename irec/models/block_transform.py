"""The linear transform of 16x16 blocks, and the components of photographs where it begins."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional

from irec.errors import DataError
from irec.models.lossy_model import POSITION_PIXELS

BLOCK = POSITION_PIXELS
BLOCK_DIMS = 3 * BLOCK**2
# Blocks of a batch of crops are cut at this many pixels' distance, at two phases.
_PHASES = (0, 5)
# Variances below this share of the largest are as good as none.
_LEAST_VARIANCE = 1e-9


class BlockComponents(NamedTuple):
    """Mean, and orthonormal components by falling variance, of colours in [-0.5, 0.5].

    Attributes:
        mean: [d] for d = 3 * side^2, as :func:`torch.nn.functional.pixel_unshuffle` orders them.
        vectors: [d, d], a component in each column.
        variances: [d], of each component, positive.
    """

    mean: Float[Tensor, " d"]
    vectors: Float[Tensor, "d d"]
    variances: Float[Tensor, " d"]


def block_components(batches: Iterable[UInt8[Tensor, "_n 3 _h _w"]], side: int) -> BlockComponents:
    """Principal components of square blocks (Karhunen-Loeve transform).

    Args:
        batches: Crops of photographs; the more, the better: some ten thousand blocks are enough.
        side: Of a block in pixels.

    Raises:
        DataError: There is no block at all.
    """
    n_dims = 3 * side**2
    count, total = 0, torch.zeros(n_dims, dtype=torch.float64)
    products = torch.zeros(n_dims, n_dims, dtype=torch.float64)
    for batch in batches:
        for phase in _PHASES:
            crops = batch[:, :, phase:, phase:]
            height, width = (size // side * side for size in crops.shape[2:])
            colours = crops[:, :, :height, :width].cpu().double() / 255.0 - 0.5
            blocks = functional.pixel_unshuffle(colours, side).permute(0, 2, 3, 1)
            blocks = blocks.reshape(-1, n_dims)
            count += len(blocks)
            total += blocks.sum(0)
            products += blocks.T @ blocks
    if count == 0:
        raise DataError(f"no training image holds a block of {side}x{side} pixels")
    mean = total / count
    values, vectors = torch.linalg.eigh(products / count - torch.outer(mean, mean))
    values, vectors = values.flip(0), vectors.flip(1)
    # A sign is free: let it be the same on every machine.
    vectors = vectors * torch.where(vectors.sum(0) < 0.0, -1.0, 1.0)
    values = values.clamp(min=_LEAST_VARIANCE * float(values[0]))
    return BlockComponents(mean.float(), vectors.float(), values.float())


class BlockTransform(nn.Module):
    """The linear transform of 16x16 blocks, both ways; colours are in [-0.5, 0.5]."""

    def __init__(self, channels: int) -> None:
        """Start at random orthonormal vectors; :meth:`TransformVAE.begin_at` knows better ones."""
        super().__init__()
        basis = torch.linalg.qr(torch.randn(BLOCK_DIMS, channels)).Q
        self.forward_basis = nn.Parameter(basis.T.contiguous())
        self.inverse_basis = nn.Parameter(basis.clone())
        self.mean = nn.Parameter(torch.zeros(BLOCK_DIMS))

    def analyse(self, pixels: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n z hb wb"]:
        """Coefficients of each block of grey levels."""
        blocks = functional.pixel_unshuffle(pixels / 255.0 - 0.5, BLOCK)
        centred = blocks - self.mean[:, None, None]
        return functional.conv2d(centred, self.forward_basis[:, :, None, None])

    def synthesise(self, z: Float[Tensor, "n z hb wb"]) -> Float[Tensor, "n 768 hb wb"]:
        """Colours of each block, (colour, row, column) in the channels."""
        return functional.conv2d(z, self.inverse_basis[:, :, None, None], self.mean)
