"""ImageNet at 32x32 pixels, in either of its two releases, which give different numbers.

``oord2016``: van den Oord, Kalchbrenner and Kavukcuoglu, "Pixel Recurrent Neural Networks",
arXiv 1601.06759; what generative models were measured on until about 2022. Archives of PNGs, no
longer offered by image-net.org.

``chrabaszcz2017``: Chrabaszcz, Loshchilov and Hutter, arXiv 1707.08819; box-resized, in batches as
CIFAR-10's, as .npz (the same release exists as pickles, which are programs and are not read).
"""

import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import UInt8

from irec.datamodules.archives import BOUNDED_METHODS, members
from irec.datamodules.download import RemoteFile, obtain
from irec.datamodules.image_files import read_array, read_png
from irec.datamodules.image_store import write_images
from irec.datamodules.published import PublishedDataModule
from irec.errors import DataError

Release = Literal["oord2016", "chrabaszcz2017"]

IMAGE_SIZE = 32

# Members are read whole; the largest published one has 0.4 GB.
MAX_UNPACKED_BYTES = 16 << 30
# Of 128,116 images, uncompressed: 0.4 GB.
_MAX_BATCH_BYTES = 1 << 30

# What holds images in the archives of either release.
_MEMBERS = re.compile(r".+\.png|(train_data_batch_\d+|val_data)\.npz")

# PNGs are written in pieces of so many.
PNG_BATCH = 1000

_GONE = "image-net.org took it down; mirrors and torrents have it, and its checksum is verified"
_LISTED = "listed at https://image-net.org/download-images, which asks for an account"


@dataclass(frozen=True)
class Split:
    """One half of a release.

    Attributes:
        archive: Holds all images.
        n_images: As published.
    """

    archive: RemoteFile
    n_images: int


# ImageNet publishes no checksums. These are what TensorFlow Datasets recorded of its server
# (url_checksums/downsampled_imagenet.txt, imagenet_resized/checksums.tsv).
SPLITS: dict[tuple[str, str], Split] = {
    ("oord2016", "train"): Split(
        RemoteFile(
            "http://image-net.org/small/train_32x32.tar",
            "sha256:244a323d48f8d72f65ad8b54658c01fed68d2d7bdc77ccb43da58c11e94224e5",
            _GONE,
        ),
        1_281_149,
    ),
    ("oord2016", "valid"): Split(
        RemoteFile(
            "http://image-net.org/small/valid_32x32.tar",
            "sha256:862e559462b24cf736212a19f6b0d47b55c2dc8ebdaa95ccecfe71260124c8f7",
            _GONE,
        ),
        49_999,
    ),
    ("chrabaszcz2017", "train"): Split(
        RemoteFile(
            "https://image-net.org/data/downsample/Imagenet32_train_npz.zip",
            "sha256:94226337ecc1b0309d9fcd0167127aaadc931587035fbcb53925235edbaec4fc",
            _LISTED,
        ),
        1_281_167,
    ),
    ("chrabaszcz2017", "valid"): Split(
        RemoteFile(
            "https://image-net.org/data/downsample/Imagenet32_val_npz.zip",
            "sha256:013990e6dec1237dcd1f9beadbab81ead6604cc119af5cacbfb59ae28148377a",
            _LISTED,
        ),
        50_000,
    ),
}


class ImageNet32DataModule(PublishedDataModule):
    """Training on the training images, flipped at random; all else on the validation images.

    The archives are turned once into one array per split, ``RELEASE_train.npy`` (3.9 GB) and
    ``RELEASE_valid.npy`` (0.15 GB) in `root`, which are mapped into memory; with these there, the
    archives are no longer needed.
    """

    def __init__(
        self,
        root: str = "data/imagenet32",
        release: Release = "chrabaszcz2017",
        download: bool = True,
        **options: Any,
    ) -> None:
        """Say where the data set is, which one, and how much of it is used.

        Args:
            root: Folder that holds the archives, or receives them, and the arrays made of them.
            release: Oord2016 (PNG archives, the one that older papers report) or chrabaszcz2017
                (box-resized, the one that image-net.org still offers).
            download: Whether absent archives are downloaded (3.6 to 4.1 GB for training, 0.2 GB
                for all else).
            **options: Of :class:`PublishedDataModule`.
        """
        super().__init__(root, download, **options)
        self.release = release

    def _array(self, part: str) -> Path:
        return self.root / f"{self.release}_{part}.npy"

    def _is_made(self, part: str) -> bool:
        return self._array(part).exists()

    def _make(self, part: str) -> None:
        split = SPLITS[self.release, part]
        archive = obtain(split.archive, self.root, self.download)
        shape = (split.n_images, IMAGE_SIZE, IMAGE_SIZE, 3)
        write_images(self._array(part), shape, read_archive(archive))

    def _read(self, part: str) -> UInt8[np.ndarray, "n 32 32 3"]:
        return read_array(self._array(part))


def read_archive(archive: Path) -> Iterator[UInt8[np.ndarray, "_n 32 32 3"]]:
    """All images of an archive of either release, in its order.

    Raises:
        DataError: The archive is damaged, or holds other images.
    """
    pngs = []
    found = members(archive, MAX_UNPACKED_BYTES, lambda path: bool(_MEMBERS.fullmatch(path.name)))
    for path, data in found:
        name = f"{archive}: {path}"
        if path.suffix == ".npz":
            yield _read_batch(data, name)
            continue
        pngs.append(_read_small_png(data, name))
        if len(pngs) == PNG_BATCH:
            yield np.stack(pngs)
            pngs = []
    if pngs:
        yield np.stack(pngs)


def _read_small_png(data: bytes, name: str) -> UInt8[np.ndarray, "32 32 3"]:
    pixels = read_png(data, name)
    if pixels.shape != (IMAGE_SIZE, IMAGE_SIZE, 3):
        raise DataError(f"{name}: shape {pixels.shape}, expected 32x32 pixels of RGB")
    return pixels


def _read_batch(data: bytes, name: str) -> UInt8[np.ndarray, "_n 32 32 3"]:
    """Return the images of a batch: rows of 1024 red, 1024 green and 1024 blue values."""
    try:
        with zipfile.ZipFile(BytesIO(data)) as file:
            info = file.getinfo("data.npy")
        # An .npz is a zip archive, with its ways to claim little and to unpack to much.
        if info.compress_type not in BOUNDED_METHODS or info.file_size > _MAX_BATCH_BYTES:
            raise ValueError(f"it unpacks to more than {_MAX_BATCH_BYTES:,} bytes, or may")
        rows = np.load(BytesIO(data), allow_pickle=False)["data"]
    # NumPy and zipfile meet damage with whatever their parsing runs into.
    except Exception as error:
        raise DataError(f"{name}: not a readable .npz ({error})") from error
    if rows.dtype != np.uint8 or rows.ndim != 2 or rows.shape[1] != 3 * IMAGE_SIZE**2:
        raise DataError(
            f"{name}: data are {rows.dtype} of shape {rows.shape}, expected uint8 [n, 3072]"
        )
    return rows.reshape(-1, 3, IMAGE_SIZE, IMAGE_SIZE).transpose(0, 2, 3, 1)
