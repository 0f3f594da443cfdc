"""CLIC 2018 "professional": photographs of some 2 megapixels, 585 for training, 41 to validate.

From the Workshop and Challenge on Learned Image Compression, http://clic.compression.cc/2018/.
"""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from irec.datamodules.archives import members
from irec.datamodules.datasets import CropDataset
from irec.datamodules.download import RemoteFile, obtain
from irec.datamodules.image_files import as_rgb, read_png
from irec.datamodules.image_store import map_store, write_store
from irec.datamodules.published import PublishedDataModule

# The challenge published no checksums; those inside zip archives are verified.
ARCHIVES = {
    "train": RemoteFile("https://data.vision.ee.ethz.ch/cvl/clic/professional_train.zip"),
    "valid": RemoteFile("https://data.vision.ee.ethz.ch/cvl/clic/professional_valid.zip"),
}
N_IMAGES = {"train": 585, "valid": 41}

MAX_UNPACKED_BYTES = 8 << 30


class CLIC2018DataModule(PublishedDataModule):
    """Random crops of the training images; all else on the validation images.

    The archives are decoded once into ``professional_train`` and ``professional_valid`` in `root`,
    which are mapped into memory; with these there, the archives are no longer needed.
    """

    def __init__(
        self,
        root: str = "data/clic2018",
        download: bool = True,
        crop_size: int = 256,
        batch_size: int = 8,
        predict_batch_size: int = 1,
        max_val_crops: int = 1000,
        **options: Any,
    ) -> None:
        """Say where the data set is and how much of it is used.

        Args:
            root: Folder that holds, or receives, the archives and what is made of them.
            download: Whether absent archives are downloaded (1.9 GB for training, 0.1 GB for all
                else).
            crop_size: Side of the crops in pixels.
            batch_size: Crops per batch.
            predict_batch_size: Images per batch of compression.
            max_val_crops: Validate on at most the first so many crops; test takes all.
            **options: Of :class:`PublishedDataModule`.
        """
        super().__init__(root, download, batch_size, predict_batch_size, max_val_crops, **options)
        self.crop_size = crop_size

    def _store(self, part: str) -> Path:
        return self.root / f"professional_{part}"

    def _is_made(self, part: str) -> bool:
        return self._store(part).exists()

    def _make(self, part: str) -> None:
        archive = obtain(ARCHIVES[part], self.root, self.download)
        pngs = members(archive, MAX_UNPACKED_BYTES, lambda name: name.suffix == ".png")
        images = ((name.stem, as_rgb(read_png(data, f"{archive}: {name}"))) for name, data in pngs)
        write_store(self._store(part), N_IMAGES[part], images)

    def _read(self, part: str) -> list[UInt8[np.ndarray, "_h _w 3"]]:
        return [pixels for _, pixels in map_store(self._store(part))]

    def _dataset(
        self, part: str, is_random: bool = False, at_most: int | None = None
    ) -> CropDataset:
        return CropDataset(self._read(part), self.crop_size, is_random, at_most)

    def _named(self) -> list[tuple[str, np.ndarray]]:
        return map_store(self._store(self.held_out))[: self.max_predict_images]
