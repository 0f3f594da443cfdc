"""The order of training images: a pure function of seed and epoch, on any number of processes."""

import os
from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

from torch.utils.data import DistributedSampler


@runtime_checkable
class EpochDataset(Protocol):
    """Training images whose shifts and flips are drawn for a whole epoch."""

    def draw(self, seed: int, epoch: int) -> None:
        """Choose them; they depend on nothing but the arguments and the image's index."""

    def __len__(self) -> int:
        """Number of images."""

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
            dataset: its random shifts and flips follow the epoch too.
            n_processes: that share the images; what does not fill all equally is left out.
            rank: of this process.
        """
        # Where Lightning's seed_everything leaves the seed, for processes that it starts.
        seed = int(os.environ.get("PL_GLOBAL_SEED", "0"))
        super().__init__(
            dataset,  # type: ignore[arg-type]
            n_processes,
            rank,
            shuffle=True,
            seed=seed,
            drop_last=True,
        )

    def __iter__(self) -> Iterator[int]:
        """Indices of this process's images, in the epoch's order."""
        self.dataset.draw(self.seed, self.epoch)
        return super().__iter__()
