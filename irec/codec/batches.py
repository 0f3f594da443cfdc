"""Tiles of several images, brought together for one generative pass and taken apart again."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from irec.bitstream import LogisticParameters
from irec.codec.planes import Planes
from irec.codec.tiles import Tile, tiles_of
from irec.models import likelihoods

# Pixels that one generative pass takes together; bounds its memory to about a gigabyte.
_MAX_BATCH_PIXELS = 512 * 512


@dataclass(frozen=True)
class TileWork:
    """One tile of one image.

    Attributes:
        image: Index of the image among those coded together.
        planes: Of the image.
        tile: Of the image.
    """

    image: int
    planes: Planes
    tile: Tile


def batches_of_tiles(
    images: Sequence[Planes], stride: int, max_side: int | None
) -> Iterator[list[TileWork]]:
    """All images' tiles in order; neighbours of equal size come together, as far as memory goes.

    Args:
        images: To be coded.
        stride: Of the model.
        max_side: Of tiles.
    """
    batch: list[TileWork] = []
    for index, planes in enumerate(images):
        for tile in tiles_of(*planes.size, stride, max_side):
            size = (tile.padded_height, tile.padded_width)
            limit = max(1, _MAX_BATCH_PIXELS // tile.padded_pixels)
            if batch and (
                len(batch) >= limit
                or size != (batch[0].tile.padded_height, batch[0].tile.padded_width)
            ):
                yield batch
                batch = []
            batch.append(TileWork(index, planes, tile))
    if batch:
        yield batch


def pixels_of(batch: Sequence[TileWork], device: torch.device) -> Float64[Tensor, "n 3 h w"]:
    """Return padded tiles of equal size as the model takes them."""
    tiles = np.stack([work.tile.cut_and_pad(work.planes.for_model) for work in batch])
    return torch.from_numpy(tiles).to(device).double()


def parameters_of(
    parameters: likelihoods.LogisticParameters, index: int, work: TileWork
) -> LogisticParameters:
    """One tile's parameters for the residual coder: padding cut off, one channel for grey."""
    n_channels, tile = len(work.planes.coded), work.tile

    def cut(values: Tensor) -> np.ndarray:
        return values[index, :n_channels, : tile.height, : tile.width].cpu().numpy()

    coupling = None
    if parameters.coupling is not None and n_channels == 3:
        coupling = cut(parameters.coupling)
    return LogisticParameters(cut(parameters.mean), cut(parameters.log_scale), coupling)
