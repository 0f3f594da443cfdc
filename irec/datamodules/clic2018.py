"""CLIC 2018 "professional": photographs of some 2 megapixels, 585 for training, 41 to validate.

From the Workshop and Challenge on Learned Image Compression, http://clic.compression.cc/2018/.
"""

from pathlib import Path

from irec.datamodules.archives import members
from irec.datamodules.base import ImageDataModule
from irec.datamodules.batches import ImageListDataset
from irec.datamodules.crops import CropDataset
from irec.datamodules.download import RemoteFile, locked, obtain
from irec.datamodules.image_files import as_rgb, read_member
from irec.datamodules.image_store import map_store, write_store

# The challenge published no checksums; those inside zip archives are verified.
ARCHIVES = {
    "train": RemoteFile("https://data.vision.ee.ethz.ch/cvl/clic/professional_train.zip"),
    "valid": RemoteFile("https://data.vision.ee.ethz.ch/cvl/clic/professional_valid.zip"),
}
N_IMAGES = {"train": 585, "valid": 41}

MAX_UNPACKED_BYTES = 8 << 30


class CLIC2018DataModule(ImageDataModule):
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
        max_predict_images: int | None = None,
        n_workers: int = 0,
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
            max_predict_images: Compress at most the first so many validation images, whole.
            n_workers: Processes that cut training crops; worth it beside a GPU.
        """
        super().__init__(batch_size, predict_batch_size, n_workers)
        self.root = Path(root)
        self.download = download
        self.crop_size = crop_size
        self.max_val_crops = max_val_crops
        self.max_predict_images = max_predict_images

    def prepare_data(self) -> None:
        """Download and decode what the run needs, once per machine.

        Raises:
            DataError: An archive is absent or damaged.
        """
        for name in ("train", "valid") if self.needs_training_set else ("valid",):
            if self._store(name).exists():
                continue
            with locked(self.root):
                if not self._store(name).exists():
                    self._decode(name)

    def setup(self, stage: str) -> None:
        """Map what `stage` (fit, validate, test, predict) needs.

        Raises:
            DataError: The images are absent or damaged.
        """
        if stage == "fit":
            images = [pixels for _, pixels in map_store(self._store("train"))]
            self.train_set = CropDataset(images, self.crop_size, is_random=True)
        items = map_store(self._store("valid"))
        if stage == "predict":
            self.predict_set = ImageListDataset(items[: self.max_predict_images])
            return
        crops = CropDataset([pixels for _, pixels in items], self.crop_size)
        if stage == "test":
            self.test_set = crops
        else:
            crops.cells = crops.cells[: self.max_val_crops]
            self.val_set = crops

    def _store(self, name: str) -> Path:
        return self.root / f"professional_{name}"

    def _decode(self, name: str) -> None:
        archive = obtain(ARCHIVES[name], self.root, self.download)
        images = (
            (member.name.stem, as_rgb(read_member(member)))
            for member in members(archive, MAX_UNPACKED_BYTES)
            if member.name.suffix == ".png"
        )
        write_store(self._store(name), N_IMAGES[name], images)
