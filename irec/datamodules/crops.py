"""Random crops of images, cut a batch at a time.

An image takes part as often as crops fit into it; an image that has just the size of a crop
(CIFAR-10) takes part once. Everything stays uint8.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.utils.data import Dataset

from irec.errors import DataError


class CropDataset(Dataset[UInt8[Tensor, "3 s s"]]):
    """Square crops, at random places for training or at fixed ones for validation."""

    def __init__(
        self,
        images: Sequence[UInt8[np.ndarray, "_h _w 3"]],
        crop_size: int,
        is_random: bool = False,
    ) -> None:
        """Cut `images` into cells, one crop for each.

        A fixed crop fills its cell. A random one may begin anywhere in its share of the places
        where crops can begin: together the crops reach every row and column alike.

        Args:
            images: Not copied, so that they may be mapped from a file; those less than `crop_size`
                pixels high or wide take no part.
            crop_size: Side of the crops in pixels.
            is_random: Whether crops are shifted and flipped at random.

        Raises:
            DataError: No image is large enough.
        """
        self.crop_size = crop_size
        self.is_random = is_random
        self.images = images
        self.cells = [
            (index, row, column)
            for index, image in enumerate(self.images)
            for row in range(image.shape[0] // crop_size)
            for column in range(image.shape[1] // crop_size)
        ]
        if not self.cells:
            raise DataError(f"none of {len(images)} images holds a crop of {crop_size} pixels")
        self.draw(seed=0, epoch=0)

    def draw(self, seed: int, epoch: int) -> None:
        """Choose every crop's shift and flip for an epoch; no effect unless `is_random`.

        They depend on nothing but the arguments and the crop's index: a resumed run, or another
        number of processes, sees the same crops.
        """
        generator = torch.Generator().manual_seed((seed << 24) + epoch)
        n = len(self.cells)
        if self.is_random:
            self._places = torch.rand(n, 2, generator=generator)
            self._is_flipped = torch.rand(n, generator=generator) < 0.5

    def __len__(self) -> int:
        """Return the number of cells."""
        return len(self.cells)

    def __getitem__(self, index: int) -> UInt8[Tensor, "3 s s"]:
        """One crop."""
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: list[int]) -> UInt8[Tensor, "n 3 s s"]:
        """Return a batch of crops; DataLoader calls this with all indices of a batch."""
        size = self.crop_size
        is_flipped = torch.zeros(len(indices), dtype=torch.bool)
        places: list[Any] = [(None, None)] * len(indices)
        if self.is_random:
            places, is_flipped = self._places[indices].tolist(), self._is_flipped[indices]
        crops = []
        for index, (down, right) in zip(indices, places, strict=True):
            which, row, column = self.cells[index]
            image = self.images[which]
            top = self._start(row, image.shape[0], down)
            left = self._start(column, image.shape[1], right)
            crops.append(image[top : top + size, left : left + size])
        batch = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).contiguous()
        return torch.where(is_flipped[:, None, None, None], batch.flip(3), batch)

    def _start(self, cell: int, side: int, place: float | None) -> int:
        """Where a crop begins along a side: with its cell, or at a place from 0 to 1 of its share.

        The side - crop + 1 pixels where a crop can begin are shared out among the cells.
        """
        if place is None:
            return cell * self.crop_size
        n_cells, n_starts = side // self.crop_size, side - self.crop_size + 1
        return min(int((cell + place) * n_starts / n_cells), n_starts - 1)


def identity(batch: Any) -> Any:
    """Collate function for data sets that already return whole batches."""
    return batch
