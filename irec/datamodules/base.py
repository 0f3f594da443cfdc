"""What every data module shares: loaders for crops, and for whole images to be compressed."""

from lightning.pytorch import LightningDataModule
from lightning.pytorch.trainer.states import TrainerFn
from torch.utils.data import DataLoader

from irec.datamodules.arrays import ArrayDataset
from irec.datamodules.batches import BatchDataset, ImageListDataset, only_item
from irec.datamodules.crops import CropDataset, identity
from irec.datamodules.sampling import EpochSampler


class ImageDataModule(LightningDataModule):
    """Base class: a subclass fills in the data sets in `setup`.

    Images are held in memory, or mapped into it, as uint8 and cut a whole batch at a time, which
    takes less time than handing them between processes; so there are no worker processes.
    """

    train_set: CropDataset | ArrayDataset
    val_set: CropDataset | ArrayDataset
    test_set: CropDataset | ArrayDataset
    predict_set: ImageListDataset

    def __init__(self, batch_size: int, predict_batch_size: int) -> None:
        """Set the batch sizes of training and of compression."""
        super().__init__()
        self.batch_size = batch_size
        self.predict_batch_size = predict_batch_size

    @property
    def needs_training_set(self) -> bool:
        """Whether the run trains; outside of a run anything may follow."""
        return self.trainer is None or self.trainer.state.fn in (None, TrainerFn.FITTING)

    def train_dataloader(self) -> DataLoader:
        """Batches uint8 [n, 3, s, s], shuffled; an incomplete last batch is left out."""
        world_size, rank = self._processes()
        return DataLoader(
            self.train_set,
            batch_size=self.batch_size,
            sampler=EpochSampler(self.train_set, world_size, rank),
            drop_last=True,
            collate_fn=identity,
        )

    def val_dataloader(self) -> DataLoader:
        """Batches uint8 [n, 3, s, s] in a fixed order."""
        return DataLoader(self.val_set, batch_size=self.batch_size, collate_fn=identity)

    def test_dataloader(self) -> DataLoader:
        """Batches uint8 [n, 3, s, s] in a fixed order."""
        return DataLoader(self.test_set, batch_size=self.batch_size, collate_fn=identity)

    def predict_dataloader(self) -> DataLoader:
        """One :class:`ImageBatch` after the other, the same ones on any number of processes."""
        world_size, _ = self._processes()
        batches = BatchDataset(self.predict_set, self.predict_batch_size, at_least=world_size)
        return DataLoader(batches, collate_fn=only_item)

    def _processes(self) -> tuple[int, int]:
        """How many processes take part, and which one this is."""
        if self.trainer is None:
            return 1, 0
        return self.trainer.world_size, self.trainer.global_rank
