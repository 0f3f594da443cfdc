"""CIFAR-10 (Krizhevsky 2009): 50,000 training and 10,000 test images of 32x32 pixels."""

from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from torchvision.datasets import CIFAR10

from irec.datamodules.base import ImageDataModule
from irec.datamodules.batches import ImageListDataset
from irec.datamodules.crops import CropDataset
from irec.errors import DataError

IMAGE_SIZE = 32


class CIFAR10DataModule(ImageDataModule):
    """Training on the training images, flipped at random; all else on the test images."""

    def __init__(
        self,
        root: str = "data/cifar10",
        download: bool = True,
        batch_size: int = 32,
        predict_batch_size: int = 16,
        max_val_images: int = 1000,
        max_predict_images: int | None = None,
    ) -> None:
        """Say where the data set is and how much of it is used.

        Args:
            root: folder that holds, or receives, the data set in torchvision's layout.
            download: whether the data set is downloaded if it is absent (170 MB).
            batch_size: images per batch of training and evaluation.
            predict_batch_size: images per batch of compression.
            max_val_images: validate on at most the first so many test images; test takes all.
            max_predict_images: compress at most the first so many test images.
        """
        super().__init__(batch_size, predict_batch_size)
        self.root = Path(root)
        self.download = download
        self.max_val_images = max_val_images
        self.max_predict_images = max_predict_images

    def prepare_data(self) -> None:
        """Download and unpack, once per machine; an archive put into `root` is unpacked too."""
        if self.download or (self.root / CIFAR10.filename).exists():
            self._open(train=False, download=True)

    def setup(self, stage: str) -> None:
        """Read what `stage` (fit, validate, test, predict) needs.

        Raises:
            DataError: the data set is absent or damaged.
        """
        if stage == "fit":
            self.train_set = CropDataset(self._read(train=True), IMAGE_SIZE, is_random=True)
        test_images = self._read(train=False)
        if stage in ("fit", "validate"):
            self.val_set = CropDataset(test_images[: self.max_val_images], IMAGE_SIZE)
        elif stage == "test":
            self.test_set = CropDataset(test_images, IMAGE_SIZE)
        else:
            items = [(f"test_{index:05d}", image) for index, image in enumerate(test_images)]
            self.predict_set = ImageListDataset(items[: self.max_predict_images])

    def _read(self, train: bool) -> list[UInt8[np.ndarray, "32 32 3"]]:
        return list(self._open(train, download=False).data)

    def _open(self, train: bool, download: bool) -> CIFAR10:
        try:
            return CIFAR10(self.root, train=train, download=download)
        # What network, disk, archive and pickles may raise leaves the user the same thing to do.
        except Exception as error:
            raise DataError(
                f"{self.root}: CIFAR-10 is absent or damaged ({error}); where it cannot be "
                f"downloaded, put {CIFAR10.url} into this folder: it is unpacked by itself"
            ) from error
