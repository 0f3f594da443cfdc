"""Images of training and evaluation, taken a batch at a time: whole ones, or crops of larger ones.

Everything stays uint8. Images are not copied, so that they may be mapped from a file.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.utils.data import Dataset

from irec.errors import DataError


class ImageDataset(Dataset[UInt8[Tensor, "3 h w"]]):
    """Whole images; those of one batch are of one size."""

    # Coordinates of where in its image an item lies.
    _n_places = 0

    def __init__(
        self,
        images: UInt8[np.ndarray, "n h w 3"] | Sequence[UInt8[np.ndarray, "_h _w 3"]],
        is_random: bool = False,
    ) -> None:
        """Hold images.

        Args:
            images: In one array, or each by itself.
            is_random: Whether images are flipped at random, for training.
        """
        self.images = images
        self.is_random = is_random
        self.draw(seed=0, epoch=0)

    def draw(self, seed: int, epoch: int) -> None:
        """Choose every item's shift and flip for an epoch; no effect unless `is_random`.

        They depend on nothing but the arguments and the item's index: a resumed run, or another
        number of processes, sees the same.
        """
        generator = torch.Generator().manual_seed((seed << 24) + epoch)
        n = len(self) if self.is_random else 0
        self._places = torch.rand(n, self._n_places, generator=generator)
        self._is_flipped = torch.rand(n, generator=generator) < 0.5

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self.images)

    def __getitem__(self, index: int) -> UInt8[Tensor, "3 h w"]:
        """Return one item."""
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: list[int]) -> UInt8[Tensor, "n 3 h w"]:
        """Return a batch; DataLoader calls this with all indices of a batch."""
        batch = torch.from_numpy(self._cut(indices)).permute(0, 3, 1, 2).contiguous()
        if not self.is_random:
            return batch
        return torch.where(self._is_flipped[indices, None, None, None], batch.flip(3), batch)

    def _cut(self, indices: list[int]) -> UInt8[np.ndarray, "n h w 3"]:
        return np.stack([self.images[index] for index in indices])


class CropDataset(ImageDataset):
    """Square crops, at random places for training or at fixed ones for validation.

    An image takes part as often as crops fit into it; one that has just the size of a crop
    (CIFAR-10) takes part once.
    """

    _n_places = 2

    def __init__(
        self,
        images: Sequence[UInt8[np.ndarray, "_h _w 3"]],
        crop_size: int,
        is_random: bool = False,
        max_crops: int | None = None,
    ) -> None:
        """Cut `images` into cells, one crop for each.

        A fixed crop fills its cell. A random one may begin anywhere in its share of the places
        where crops can begin: together the crops reach every row and column alike.

        Args:
            images: Those less than `crop_size` pixels high or wide take no part.
            crop_size: Side of the crops in pixels.
            is_random: Whether crops are shifted and flipped at random.
            max_crops: Take at most the first so many.

        Raises:
            DataError: No image is large enough.
        """
        self.crop_size = crop_size
        self.cells = [
            (index, row, column)
            for index, image in enumerate(images)
            for row in range(image.shape[0] // crop_size)
            for column in range(image.shape[1] // crop_size)
        ][:max_crops]
        if not self.cells:
            raise DataError(f"none of {len(images)} images holds a crop of {crop_size} pixels")
        super().__init__(images, is_random)

    def __len__(self) -> int:
        """Return the number of cells."""
        return len(self.cells)

    def _cut(self, indices: list[int]) -> UInt8[np.ndarray, "n s s 3"]:
        size, crops = self.crop_size, []
        places = self._places[indices].tolist() if self.is_random else [(None, None)] * len(indices)
        for index, (down, right) in zip(indices, places, strict=True):
            which, row, column = self.cells[index]
            image = self.images[which]
            top = self._start(row, image.shape[0], down)
            left = self._start(column, image.shape[1], right)
            crops.append(image[top : top + size, left : left + size])
        return np.stack(crops)

    def _start(self, cell: int, side: int, place: float | None) -> int:
        """Where a crop begins along a side: with its cell, or at a place from 0 to 1 of its share.

        The side - crop + 1 pixels where a crop can begin are shared out among the cells.
        """
        if place is None:
            return cell * self.crop_size
        n_cells, n_starts = side // self.crop_size, side - self.crop_size + 1
        return min(int((cell + place) * n_starts / n_cells), n_starts - 1)
