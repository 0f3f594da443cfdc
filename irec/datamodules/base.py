"""What data modules share: loaders, whose batches are the same on any number of processes."""

import operator
import os
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from irec.datamodules.batches import ImageListDataset
from irec.datamodules.datasets import ImageDataset
from irec.errors import DataError


def run_seed() -> int:
    """Where Lightning's seed_everything leaves the seed, for processes that it starts too."""
    return int(os.environ.get("PL_GLOBAL_SEED", "0"))


class EpochSampler(DistributedSampler):
    """Shuffles images, and gives all processes together what one with their batches sees.

    The order is a pure function of seed and epoch. PyTorch's default for one process draws it from
    the global generator, whose state no checkpoint holds: a resumed run would see other batches.
    Lightning calls `set_epoch`, and leaves samplers of this kind as they are.
    """

    dataset: ImageDataset

    def __init__(self, dataset: ImageDataset, n_processes: int = 1, rank: int = 0) -> None:
        """Set up the order.

        Args:
            dataset: Its random shifts and flips follow the epoch too.
            n_processes: That share the images; what does not fill all equally is left out.
            rank: Of this process.
        """
        super().__init__(dataset, n_processes, rank, shuffle=True, seed=run_seed(), drop_last=True)
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Go to an epoch: before its iterator is made, since worker processes copy the images."""
        super().set_epoch(epoch)
        self.dataset.draw(self.seed, epoch)


class Batches(Dataset[Any]):
    """Whole batches as items, so that batches, not images, are dealt to processes.

    What an encoder chooses may depend on a batch's other images, where two candidates score the
    same but for rounding. Files, and figures, are the same on any number of processes only if
    batches are.
    """

    def __init__(
        self, images: ImageDataset | ImageListDataset, batch_size: int, at_least: int = 0
    ) -> None:
        """Group images.

        Args:
            images: In the order in which they are grouped.
            batch_size: Images per batch; the last may have fewer.
            at_least: Number of batches to be reached with empty ones.
        """
        self.images = images
        self.batch_size = batch_size
        self.n_batches = max(at_least, -(-len(images) // batch_size))

    def __len__(self) -> int:
        """Return the number of batches."""
        return self.n_batches

    def __getitem__(self, index: int) -> Any:
        """Return a batch, of the kind that the images come in."""
        start = index * self.batch_size
        end = min(start + self.batch_size, len(self.images))
        return self.images.__getitems__(list(range(start, end)))


class ImageDataModule(LightningDataModule):
    """Base class: a subclass fills in the data sets in `setup`.

    Images are held in memory, or mapped into it, as uint8 and cut a whole batch at a time. On a CPU
    that takes less time than handing them between processes; beside a GPU, `n_workers` processes
    cut the next batches while it computes, into memory that it can fetch from by itself.
    """

    train_set: ImageDataset
    val_set: ImageDataset
    test_set: ImageDataset
    predict_set: ImageListDataset

    def __init__(
        self,
        batch_size: int,
        predict_batch_size: int,
        max_predict_images: int | None = None,
        n_workers: int = 0,
    ) -> None:
        """Say how images come.

        Args:
            batch_size: Images or crops per batch of training and evaluation.
            predict_batch_size: Images per batch of compression.
            max_predict_images: Compress at most the first so many images.
            n_workers: Processes that cut training crops; worth it beside a GPU.
        """
        super().__init__()
        self.batch_size = batch_size
        self.predict_batch_size = predict_batch_size
        self.max_predict_images = max_predict_images
        self.n_workers = n_workers

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
            collate_fn=_identity,
            **self._delivery(),
        )

    def val_dataloader(self) -> DataLoader:
        """Batches uint8 [n, 3, s, s] in a fixed order."""
        return self._evaluation_loader(self.val_set)

    def test_dataloader(self) -> DataLoader:
        """Batches uint8 [n, 3, s, s] in a fixed order."""
        return self._evaluation_loader(self.test_set)

    def predict_dataloader(self) -> DataLoader:
        """One :class:`ImageBatch` after the other, at least one for each process."""
        world_size, _ = self._processes()
        batches = Batches(self.predict_set, self.predict_batch_size, at_least=world_size)
        return DataLoader(batches, collate_fn=operator.itemgetter(0))

    def _evaluation_loader(self, images: ImageDataset) -> DataLoader:
        batches = Batches(images, self.batch_size)
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


def _identity(batch: Any) -> Any:
    """Collate function for data sets that already return whole batches."""
    return batch
