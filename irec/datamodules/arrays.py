"""Images of one size in one array, mapped from disk: millions of them cost no memory."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.utils.data import Dataset

from irec.datamodules.download import require_space
from irec.errors import DataError
from irec.files import unfinished
from irec.terminal import count_bar


class ArrayDataset(Dataset[UInt8[Tensor, "3 h w"]]):
    """Whole images out of one array, for training flipped at random."""

    def __init__(self, images: UInt8[np.ndarray, "n h w 3"], is_random: bool = False) -> None:
        """Hold `images`, in memory or mapped from a file; they are not copied.

        Args:
            images: All of one size.
            is_random: Whether images are flipped at random.
        """
        self.images = images
        self.is_random = is_random
        self.draw(seed=0, epoch=0)

    def draw(self, seed: int, epoch: int) -> None:
        """Choose the flips of an epoch; they depend on nothing but the arguments and the index."""
        generator = torch.Generator().manual_seed((seed << 24) + epoch)
        n_flips = len(self.images) if self.is_random else 0
        self._is_flipped = torch.rand(n_flips, generator=generator) < 0.5

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    def __getitem__(self, index: int) -> UInt8[Tensor, "3 h w"]:
        """One image."""
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: list[int]) -> UInt8[Tensor, "n 3 h w"]:
        """Return a batch of images; DataLoader calls this with all indices of a batch."""
        batch = torch.from_numpy(self.images[indices]).permute(0, 3, 1, 2).contiguous()
        if not self.is_random:
            return batch
        return torch.where(self._is_flipped[indices, None, None, None], batch.flip(3), batch)


def write_images(
    path: Path,
    shape: tuple[int, int, int, int],
    batches: Iterable[UInt8[np.ndarray, "_n h w 3"]],
) -> None:
    """Write a .npy file of images, completely or not at all.

    Args:
        path: Gets its name when all images are in it.
        shape: [n, h, w, 3] of all images together.
        batches: The images, in order.

    Raises:
        DataError: There are more or fewer images, or no space for them.
        OutputFileError: The system refuses to write.
    """
    n_images = 0
    with unfinished(path, is_only_writer=True) as part:
        require_space(path.parent, int(np.prod(shape)))
        # Written as a file: a full disk ends a process that writes through a memory map.
        with part.open("wb") as out, count_bar() as bar:
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(out, header)
            task = bar.add_task(f"writing {path.name}", total=shape[0])
            for batch in batches:
                out.write(np.ascontiguousarray(batch).data)
                n_images += len(batch)
                bar.update(task, completed=n_images)
        if n_images != shape[0]:
            raise DataError(f"{path}: {n_images:,} images are there, expected {shape[0]:,}")
