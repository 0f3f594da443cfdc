"""Several data sets at once: each training step sees a batch of every one."""

from collections.abc import Sequence

from lightning.pytorch.utilities import CombinedLoader
from torch.utils.data import DataLoader

from irec.datamodules.base import ImageDataModule
from irec.errors import DataError


class MixedDataModule(ImageDataModule):
    """Crops of different sizes in turn, such as photographs' and whole images of CIFAR-10.

    An epoch is one of the largest set; the smaller ones start again within it.
    """

    def __init__(self, parts: Sequence[ImageDataModule]) -> None:
        """Name the parts.

        Args:
            parts: Data modules; validate takes all of them, test and predict the first.

        Raises:
            DataError: There are none.
        """
        if not parts:
            raise DataError("a mixture of no data sets: give --data.parts at least one")
        super().__init__(parts[0].batch_size, parts[0].predict_batch_size)
        self.parts = list(parts)

    def prepare_data(self) -> None:
        """Download what the parts need."""
        for part in self.parts:
            part.prepare_data()

    def setup(self, stage: str) -> None:
        """Read what `stage` needs."""
        for part in self.parts if stage in ("fit", "validate") else self.parts[:1]:
            part.trainer = self.trainer
            part.setup(stage)

    def train_dataloader(self) -> CombinedLoader:  # type: ignore[override]
        """Return lists of batches uint8 [n, 3, s, s], one of each part."""
        return CombinedLoader([part.train_dataloader() for part in self.parts], "max_size_cycle")

    def val_dataloader(self) -> list[DataLoader]:  # type: ignore[override]
        """One loader for each part."""
        return [part.val_dataloader() for part in self.parts]

    def test_dataloader(self) -> DataLoader:
        """The first part's."""
        return self.parts[0].test_dataloader()

    def predict_dataloader(self) -> DataLoader:
        """Return the first part's batches."""
        return self.parts[0].predict_dataloader()
