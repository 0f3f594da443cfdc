"""The Kodak Lossless True Color Image Suite: 24 photographs, for measuring only."""

from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from lightning.pytorch.trainer.states import TrainerFn

from irec.datamodules.base import ImageDataModule
from irec.datamodules.batches import ImageListDataset
from irec.datamodules.datasets import ImageDataset
from irec.datamodules.download import RemoteFile, locked, obtain
from irec.errors import DataError
from irec.images import read_image

# The publisher, Rich Franzen, gives no checksums; sizes are verified, and PNGs hold checksums.
IMAGES = [
    RemoteFile(f"https://r0k.us/graphics/kodak/kodak/kodim{number:02d}.png")
    for number in range(1, 25)
]
SHAPES = {(512, 768, 3), (768, 512, 3)}


class KodakDataModule(ImageDataModule):
    """All 24 images whole, for test and predict; they are no training set."""

    def __init__(
        self,
        root: str = "data/kodak",
        download: bool = True,
        predict_batch_size: int = 1,
        max_predict_images: int | None = None,
    ) -> None:
        """Say where the images are.

        Args:
            root: Folder that holds, or receives, kodim01.png to kodim24.png.
            download: Whether absent images are downloaded (15 MB).
            predict_batch_size: Images per batch of compression.
            max_predict_images: Compress at most the first so many images.
        """
        super().__init__(1, predict_batch_size, max_predict_images)
        self.root = Path(root)
        self.download = download

    def prepare_data(self) -> None:
        """Download absent images, once per machine.

        Raises:
            DataError: An image is absent and cannot be had.
        """
        if not all((self.root / image.name).exists() for image in IMAGES):
            with locked(self.root):
                for image in IMAGES:
                    obtain(image, self.root, self.download)

    def setup(self, stage: str) -> None:
        """Read the images.

        Raises:
            DataError: `stage` is fit or validate; or an image is absent, damaged, or of another
                size than the published ones.
        """
        if stage not in ("test", "predict"):
            raise DataError(
                f"Kodak's 24 images are for test and predict; for {TrainerFn(stage).value} name a "
                "training set, as in lightning_configs/data"
            )
        items = [(image.name, _read(self.root / image.name)) for image in IMAGES]
        self.predict_set = ImageListDataset(items[: self.max_predict_images])
        self.test_set = ImageDataset([pixels for _, pixels in items[: self.max_predict_images]])


def _read(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    pixels = read_image(path)
    if pixels.shape not in SHAPES:
        height, width, channels = pixels.shape
        raise DataError(
            f"{path}: {width}x{height} pixels with {channels} channels; Kodak's images have "
            "768x512 or 512x768 pixels of RGB, delete it and fetch it again"
        )
    return pixels
