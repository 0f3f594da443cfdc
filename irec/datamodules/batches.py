"""Images to be compressed, one by one or in batches."""

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

    def __getitems__(self, indices: list[int]) -> ImageBatch:
        """Read a batch; an image that cannot be read is reported and the others are there."""
        batch = ImageBatch([], [])
        for index in indices:
            try:
                batch.images.append(self[index])
            except IrecError as error:
                batch.failures.append(FailedImage(self.items[index][0], str(error)))
        return batch


def _unlike(name: str) -> str:
    path = Path(name)
    return str(path.with_name(path.stem + path.suffix.replace(".", "_")))
