"""What every data module shares: loaders for crops, and for whole images to be compressed."""

from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.trainer.states import TrainerFn
from torch.utils.data import DataLoader, DistributedSampler

from irec.datamodules.arrays import ArrayDataset
from irec.datamodules.batches import BatchDataset, ImageListDataset, only_item
from irec.datamodules.crops import CropDataset, identity
from irec.datamodules.sampling import EpochSampler, EvaluatedDataset, EvaluationBatches
from irec.errors import DataError


class ImageDataModule(LightningDataModule):
    """Base class: a subclass fills in the data sets in `setup`.

    Images are held in memory, or mapped into it, as uint8 and cut a whole batch at a time. On a CPU
    that takes less time than handing them between processes; beside a GPU, `n_workers` processes
    cut the next batches while it computes, into memory that it can fetch from by itself.
    """

    train_set: CropDataset | ArrayDataset
    val_set: CropDataset | ArrayDataset
    test_set: CropDataset | ArrayDataset
    predict_set: ImageListDataset

    def __init__(self, batch_size: int, predict_batch_size: int, n_workers: int = 0) -> None:
        """Set the batch sizes of training and of compression, and the processes for crops."""
        super().__init__()
        self.batch_size = batch_size
        self.predict_batch_size = predict_batch_size
        self.n_workers = n_workers

    @property
    def needs_training_set(self) -> bool:
        """Whether the run trains; outside of a run anything may follow."""
        return self.trainer is None or self.trainer.state.fn in (None, TrainerFn.FITTING)

    def train_dataloader(self) -> DataLoader:
        """Batches uint8 [n, 3, s, s], shuffled; an incomplete last batch is left out.

        Raises:
            DataError: There is not one batch for each process.
        """
        world_size, rank = self._processes()
        if len(self.train_set) < self.batch_size * world_size:
            raise DataError(
                f"there are {len(self.train_set)} training crops, too few for a batch of "
                f"{self.batch_size} on each of {world_size} processes: lower --data.batch_size"
            )
        return DataLoader(
            self.train_set,
            batch_size=self.batch_size,
            sampler=EpochSampler(self.train_set, world_size, rank),
            drop_last=True,
            collate_fn=identity,
            **self._delivery(),
        )

    def val_dataloader(self) -> DataLoader:
        """Batches uint8 [n, 3, s, s] in a fixed order."""
        return self._evaluation_loader(self.val_set)

    def test_dataloader(self) -> DataLoader:
        """Batches uint8 [n, 3, s, s] in a fixed order."""
        return self._evaluation_loader(self.test_set)

    def predict_dataloader(self) -> DataLoader:
        """One :class:`ImageBatch` after the other, the same ones on any number of processes."""
        world_size, _ = self._processes()
        batches = BatchDataset(self.predict_set, self.predict_batch_size, at_least=world_size)
        return DataLoader(batches, collate_fn=only_item)

    def _evaluation_loader(self, images: EvaluatedDataset) -> DataLoader:
        batches = EvaluationBatches(images, self.batch_size)
        sampler: DistributedSampler[Any] = DistributedSampler(
            batches, *self._processes(), shuffle=False
        )
        return DataLoader(batches, batch_size=None, sampler=sampler, **self._delivery())

    def _delivery(self) -> dict[str, Any]:
        """How batches reach the device."""
        return {"num_workers": self.n_workers, "pin_memory": torch.cuda.is_available()}

    def _processes(self) -> tuple[int, int]:
        """How many processes take part, and which one this is."""
        if self.trainer is None:
            return 1, 0
        return self.trainer.world_size, self.trainer.global_rank
