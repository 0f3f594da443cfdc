"""What every data module shares: loaders for crops, and for whole images to be compressed."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader, Dataset

from irec.datamodules.crops import CropDataset, identity
from irec.errors import DataError
from irec.images import read_image


class NamedImage(NamedTuple):
    """An image to be compressed.

    Attributes:
        name: unique in its data set; the compressed file is called after it.
        pixels: uint8 [h, w, c], c of 1 to 4.
    """

    name: str
    pixels: UInt8[np.ndarray, "h w c"]


class ImageListDataset(Dataset[NamedImage]):
    """Images of any sizes, read when asked for."""

    def __init__(self, items: Sequence[tuple[str, Path | UInt8[np.ndarray, "_h _w _c"]]]) -> None:
        """Hold `items`: pairs of a name and a file or an array.

        Raises:
            DataError: two names differ in nothing but their suffixes, so that their compressed
                files would be called the same.
        """
        self.items = list(items)
        seen: dict[Path, str] = {}
        for name, _ in self.items:
            stem = Path(name).with_suffix("")
            if stem in seen:
                raise DataError(
                    f"two images would be compressed to the same file: {seen[stem]} and {name}; "
                    "rename one, or compress them in separate runs"
                )
            seen[stem] = name

    def __len__(self) -> int:
        """Number of images."""
        return len(self.items)

    def __getitem__(self, index: int) -> NamedImage:
        """Read one image."""
        name, source = self.items[index]
        return NamedImage(name, read_image(source) if isinstance(source, Path) else source)


def as_list(batch: list[NamedImage]) -> list[NamedImage]:
    """Collate function: images of different sizes stay a list."""
    return batch


class ImageDataModule(LightningDataModule):
    """Base class: a subclass fills in the data sets in `setup`.

    Images are held in memory as uint8 and cut a whole batch at a time, which takes less time than
    handing them between processes; so there are no worker processes.
    """

    train_set: CropDataset
    val_set: CropDataset
    test_set: CropDataset
    predict_set: ImageListDataset

    def __init__(self, batch_size: int, predict_batch_size: int) -> None:
        """Set the batch sizes of training and of compression."""
        super().__init__()
        self.batch_size = batch_size
        self.predict_batch_size = predict_batch_size

    def train_dataloader(self) -> DataLoader:
        """Batches uint8 [n, 3, s, s], shuffled; an incomplete last batch is left out."""
        return DataLoader(
            self.train_set,
            batch_size=self.batch_size,
            shuffle=True,
            drop_last=True,
            collate_fn=identity,
        )

    def val_dataloader(self) -> DataLoader:
        """Batches uint8 [n, 3, s, s] in a fixed order."""
        return DataLoader(self.val_set, batch_size=self.batch_size, collate_fn=identity)

    def test_dataloader(self) -> DataLoader:
        """Batches uint8 [n, 3, s, s] in a fixed order."""
        return DataLoader(self.test_set, batch_size=self.batch_size, collate_fn=identity)

    def predict_dataloader(self) -> DataLoader:
        """Lists of :class:`NamedImage`."""
        return DataLoader(self.predict_set, batch_size=self.predict_batch_size, collate_fn=as_list)
