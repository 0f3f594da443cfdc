"""The order of training images: a pure function of seed and epoch, on any number of processes."""

import os
from typing import Any, Protocol, runtime_checkable

from jaxtyping import UInt8
from torch import Tensor
from torch.utils.data import Dataset, DistributedSampler


def run_seed() -> int:
    """Where Lightning's seed_everything leaves the seed, for processes that it starts too."""
    return int(os.environ.get("PL_GLOBAL_SEED", "0"))


@runtime_checkable
class EpochDataset(Protocol):
    """Training images whose shifts and flips are drawn for a whole epoch."""

    def draw(self, seed: int, epoch: int) -> None:
        """Choose them; they depend on nothing but the arguments and the image's index."""

    def __len__(self) -> int:
        """Return the number of images."""

    def __getitem__(self, index: int) -> Any:
        """One image."""


class EpochSampler(DistributedSampler):
    """Shuffles images, and gives all processes together what one with their batches sees.

    PyTorch's default for one process draws the order from the global generator, whose state no
    checkpoint holds: a resumed run would see other batches. Lightning calls `set_epoch`, and leaves
    samplers of this kind as they are.
    """

    dataset: EpochDataset  # type: ignore[assignment]

    def __init__(self, dataset: EpochDataset, n_processes: int = 1, rank: int = 0) -> None:
        """Set up the order.

        Args:
            dataset: Its random shifts and flips follow the epoch too.
            n_processes: That share the images; what does not fill all equally is left out.
            rank: Of this process.
        """
        seed = run_seed()
        super().__init__(
            dataset,  # type: ignore[arg-type]
            n_processes,
            rank,
            shuffle=True,
            seed=seed,
            drop_last=True,
        )

        self.dataset.draw(seed, epoch=0)

    def set_epoch(self, epoch: int) -> None:
        """Go to an epoch: before its iterator is made, since worker processes copy the images."""
        super().set_epoch(epoch)
        self.dataset.draw(self.seed, epoch)


@runtime_checkable
class EvaluatedDataset(Protocol):
    """Images that come in batches."""

    def __len__(self) -> int:
        """Return the number of images."""

    def __getitems__(self, indices: list[int]) -> UInt8[Tensor, "n 3 h w"]:
        """Return a batch."""


class EvaluationBatches(Dataset[UInt8[Tensor, "n 3 h w"]]):
    """Whole batches as items: the same ones are evaluated on any number of processes.

    Attributes:
        n_batches: How many there are; a process that has none left repeats one, and whoever
            evaluates can tell by its place that it counts already.
    """

    def __init__(self, images: EvaluatedDataset, batch_size: int) -> None:
        """Group images in their order; the last batch may be smaller."""
        self.images = images
        self.batch_size = batch_size
        self.n_batches = -(-len(images) // batch_size)

    def __len__(self) -> int:
        """Return the number of batches."""
        return self.n_batches

    def __getitem__(self, index: int) -> UInt8[Tensor, "n 3 h w"]:
        """Return a batch."""
        start = index * self.batch_size
        end = min(start + self.batch_size, len(self.images))
        return self.images.__getitems__(list(range(start, end)))
