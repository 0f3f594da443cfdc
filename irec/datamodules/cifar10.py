"""CIFAR-10 (Krizhevsky 2009): 50,000 training and 10,000 test images of 32x32 pixels."""

import tarfile
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from torchvision.datasets import CIFAR10

from irec.datamodules.download import RemoteFile, obtain
from irec.datamodules.published import PublishedDataModule
from irec.errors import DataError
from irec.files import unfinished

# Published: 0.19 GB.
MAX_UNPACKED_BYTES = 1 << 30


class CIFAR10DataModule(PublishedDataModule):
    """Training on the training images, flipped at random; all else on the test images."""

    held_out = "test"

    def __init__(self, root: str = "data/cifar10", download: bool = True, **options: Any) -> None:
        """Say where the data set is and how much of it is used.

        Args:
            root: Folder that holds, or receives, the data set in torchvision's layout; an archive
                put there is unpacked too.
            download: Whether the data set is downloaded if it is absent (170 MB).
            **options: Of :class:`PublishedDataModule`.
        """
        super().__init__(root, download, **options)

    def _is_made(self, part: str) -> bool:
        folder = self.root / CIFAR10.base_folder
        return folder.is_dir() and any(folder.iterdir())

    def _make(self, part: str) -> None:
        archive = obtain(
            RemoteFile(CIFAR10.url, f"md5:{CIFAR10.tgz_md5}"), self.root, self.download
        )
        _unpack(archive, self.root / CIFAR10.base_folder)

    def _read(self, part: str) -> UInt8[np.ndarray, "n 32 32 3"]:
        try:
            return CIFAR10(self.root, train=part == "train").data
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
