"""Images to be compressed, in batches that are the same for any number of processes."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from torch.utils.data import Dataset

from irec.errors import DataError, IrecError
from irec.images import read_image, without_image_suffix


class NamedImage(NamedTuple):
    """An image to be compressed.

    Attributes:
        name: Unique in its data set; the compressed file is called after it.
        pixels: uint8 [h, w, c], c of 1 to 4.
    """

    name: str
    pixels: UInt8[np.ndarray, "h w c"]


class FailedImage(NamedTuple):
    """An image that cannot be read or compressed.

    Attributes:
        name: In its data set.
        reason: One line that names the file.
    """

    name: str
    reason: str


class ImageBatch(NamedTuple):
    """What is compressed together, and what of it could not be read."""

    images: list[NamedImage]
    failures: list[FailedImage]


class ImageListDataset(Dataset[NamedImage]):
    """Images of any sizes, read when asked for."""

    def __init__(self, items: Sequence[tuple[str, Path | UInt8[np.ndarray, "_h _w _c"]]]) -> None:
        """Hold `items`: pairs of a name and a file or an array.

        Where compressed files would be called the same, a.png and a.bmp are called a_png and a_bmp.

        Raises:
            DataError: Even then two names are the same.
        """
        times = Counter(without_image_suffix(name) for name, _ in items)
        self.items = [
            (name if times[without_image_suffix(name)] == 1 else _unlike(name), source)
            for name, source in items
        ]
        seen: dict[Path, str] = {}
        for (name, _), (given, _) in zip(self.items, items, strict=True):
            stem = without_image_suffix(name)
            if stem in seen:
                raise DataError(
                    f"two images would be compressed to the same file: {seen[stem]} and {given}; "
                    "rename one, or compress them in separate runs"
                )
            seen[stem] = given

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.items)

    def __getitem__(self, index: int) -> NamedImage:
        """Read one image."""
        name, source = self.items[index]
        return NamedImage(name, read_image(source) if isinstance(source, Path) else source)


def _unlike(name: str) -> str:
    path = Path(name)
    return str(path.with_name(path.stem + path.suffix.replace(".", "_")))


class BatchDataset(Dataset[ImageBatch]):
    """Whole batches as items, so that Lightning deals batches, not images, to processes.

    What an encoder chooses may depend on a batch's other images, where two candidates score the
    same but for rounding. Files are the same on any number of processes only if batches are.
    """

    def __init__(self, images: ImageListDataset, batch_size: int, at_least: int = 1) -> None:
        """Group images.

        Args:
            images: In the order in which they are grouped.
            batch_size: Images per batch; the last may have fewer.
            at_least: Number of batches to be reached with empty ones: every process needs one.
        """
        self.images = images
        self.batch_size = batch_size
        self.n_batches = max(at_least, -(-len(images) // batch_size))

    def __len__(self) -> int:
        """Return the number of batches."""
        return self.n_batches

    def __getitem__(self, index: int) -> ImageBatch:
        """Read a batch; an image that cannot be read is reported and the others are there."""
        batch = ImageBatch([], [])
        start = index * self.batch_size
        for which in range(start, min(start + self.batch_size, len(self.images))):
            try:
                batch.images.append(self.images[which])
            except IrecError as error:
                batch.failures.append(FailedImage(self.images.items[which][0], str(error)))
        return batch


def only_item(items: list[ImageBatch]) -> ImageBatch:
    """Collate function for a data set whose items are batches already."""
    (batch,) = items
    return batch
