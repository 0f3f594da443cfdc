"""Three bundled photographs to try compression on; their origin stands in the README beside."""

from lightning.pytorch.trainer.states import TrainerFn

from irec.datamodules.base import ImageDataModule
from irec.datamodules.batches import ImageListDataset
from irec.defaults import SAMPLES
from irec.errors import DataError
from irec.images import image_paths


class SampleImagesDataModule(ImageDataModule):
    """The bundled photographs, for predict only: three images are no training set."""

    def __init__(self, max_predict_images: int | None = None) -> None:
        """Say how much is compressed at once.

        Args:
            max_predict_images: Compress at most the first so many images.
        """
        super().__init__(1, 1, max_predict_images)

    def setup(self, stage: str) -> None:
        """Find the photographs.

        Raises:
            DataError: `stage` is not "predict".
        """
        if stage != "predict":
            raise DataError(
                f"the bundled photographs are for predict; for {TrainerFn(stage).value} name your "
                "own images: --data irec.datamodules.image_folder.ImageFolderDataModule "
                "(see lightning_configs)"
            )
        items = [(path.name, path) for path in image_paths(SAMPLES)]
        self.predict_set = ImageListDataset(items[: self.max_predict_images])
