"""CIFAR-10 (Krizhevsky 2009): 50,000 training and 10,000 test images of 32x32 pixels."""

import tarfile
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from torchvision.datasets import CIFAR10

from irec.datamodules.arrays import ArrayDataset
from irec.datamodules.base import ImageDataModule
from irec.datamodules.batches import ImageListDataset
from irec.datamodules.download import RemoteFile, locked, obtain
from irec.errors import DataError
from irec.files import unfinished

# Published: 0.19 GB.
MAX_UNPACKED_BYTES = 1 << 30


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
        n_workers: int = 0,
    ) -> None:
        """Say where the data set is and how much of it is used.

        Args:
            root: Folder that holds, or receives, the data set in torchvision's layout.
            download: Whether the data set is downloaded if it is absent (170 MB).
            batch_size: Images per batch of training and evaluation.
            predict_batch_size: Images per batch of compression.
            max_val_images: Validate on at most the first so many test images; test takes all.
            max_predict_images: Compress at most the first so many test images.
            n_workers: Processes that cut training crops; worth it beside a GPU.
        """
        super().__init__(batch_size, predict_batch_size, n_workers)
        self.root = Path(root)
        self.download = download
        self.max_val_images = max_val_images
        self.max_predict_images = max_predict_images

    def prepare_data(self) -> None:
        """Download and unpack, once per machine; an archive put into `root` is unpacked too.

        Raises:
            DataError: The archive is absent or damaged.
        """
        folder = self.root / CIFAR10.base_folder
        if not (folder.is_dir() and any(folder.iterdir())):
            with locked(self.root):
                file = RemoteFile(CIFAR10.url, f"md5:{CIFAR10.tgz_md5}")
                _unpack(obtain(file, self.root, self.download), folder)

    def setup(self, stage: str) -> None:
        """Read what `stage` (fit, validate, test, predict) needs.

        Raises:
            DataError: The data set is absent or damaged.
        """
        if stage == "fit":
            self.train_set = ArrayDataset(self._read(train=True), is_random=True)
        test_images = self._read(train=False)
        if stage in ("fit", "validate"):
            self.val_set = ArrayDataset(test_images[: self.max_val_images])
        elif stage == "test":
            self.test_set = ArrayDataset(test_images)
        else:
            items = [(f"test_{index:05d}", image) for index, image in enumerate(test_images)]
            self.predict_set = ImageListDataset(items[: self.max_predict_images])

    def _read(self, train: bool) -> UInt8[np.ndarray, "n 32 32 3"]:
        try:
            return CIFAR10(self.root, train=train).data
        # What disk and pickles may raise leaves the user the same thing to do; torchvision verifies
        # the checksums of the pickles before it reads them.
        except Exception as error:
            folder = self.root / CIFAR10.base_folder
            raise DataError(
                f"{folder}: CIFAR-10 is absent or damaged ({error}); delete this folder and put "
                f"{CIFAR10.filename} beside it ({CIFAR10.url}), or let it be downloaded"
            ) from error


def _unpack(archive: Path, folder: Path) -> None:
    """Put the files in an archive's only folder into `folder`, all of them or none."""
    try:
        with tarfile.open(archive) as tar, unfinished(folder, is_only_writer=True) as part:
            files = [info.replace(name=Path(info.name).name) for info in tar if info.isreg()]
            if sum(info.size for info in files) > MAX_UNPACKED_BYTES:
                raise DataError(f"{archive}: too large for CIFAR-10; delete it and fetch it again")
            part.mkdir()
            tar.extractall(part, files, filter="data")
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise DataError(f"{archive}: damaged ({error}); delete it and fetch it again") from error
