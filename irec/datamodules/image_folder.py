"""Any image folders, image files and .npy arrays as data sets."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from irec.datamodules.base import ImageDataModule
from irec.datamodules.batches import ImageListDataset
from irec.datamodules.datasets import CropDataset
from irec.datamodules.image_files import list_images
from irec.datamodules.image_store import decoded_once
from irec.errors import DataError


class ImageFolderDataModule(ImageDataModule):
    """Images from folders (searched recursively), single files, and .npy arrays of uint8 images."""

    def __init__(
        self,
        train: Sequence[str] = (),
        val: Sequence[str] = (),
        predict: Sequence[str] = (),
        crop_size: int = 32,
        scales: Sequence[float] = (1.0,),
        batch_size: int = 16,
        predict_batch_size: int = 16,
        max_val_crops: int = 1000,
        decoded_dir: str = "data/decoded",
        **options: Any,
    ) -> None:
        """Name the sources; each list may mix folders, image files and .npy arrays [n, h, w, 3].

        Args:
            train: Sources of training crops.
            val: Sources of crops for validate and test, cut at scale 1.
            predict: Sources of whole images to compress.
            crop_size: Side of the crops in pixels.
            scales: Factors at which training crops are cut from each image that is large enough.
            batch_size: Crops per batch.
            predict_batch_size: Images per batch of compression.
            max_val_crops: Use at most the first so many crops for validate and test.
            decoded_dir: Folder that keeps the decoded images of train and val; all processes of a
                machine map them into memory from there, and so do later runs.
            **options: Of :class:`ImageDataModule`.
        """
        super().__init__(batch_size, predict_batch_size, **options)
        self.sources = {"train": list(train), "val": list(val), "predict": list(predict)}
        self.crop_size = crop_size
        self.scales = list(scales)
        self.max_val_crops = max_val_crops
        self.decoded_dir = Path(decoded_dir)

    def setup(self, stage: str) -> None:
        """Map or list what `stage` (fit, validate, test, predict) needs.

        The first process decodes and the others of its machine wait for it here, not in
        `prepare_data`: there they would wait in a collective, which ends after some minutes.
        """
        if stage == "fit":
            images = decoded_once(self._named("train"), self.scales, self.decoded_dir)
            self.train_set = CropDataset(images, self.crop_size, is_random=True)
        if stage in ("fit", "validate", "test"):
            images = decoded_once(self._named("val"), [1.0], self.decoded_dir)
            crops = CropDataset(images, self.crop_size, max_crops=self.max_val_crops)
            self.val_set = self.test_set = crops
        if stage == "predict":
            items = [item for source in self._named("predict") for item in list_images(source)]
            self.predict_set = ImageListDataset(items[: self.max_predict_images])

    def _named(self, which: str) -> list[str]:
        if not self.sources[which]:
            raise DataError(
                f"no images named: give --data.{which} a folder, a file or a .npy array"
            )
        return self.sources[which]
