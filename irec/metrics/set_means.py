"""Means over a set of images: those of the set, on any number of processes."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor


@dataclass
class SetMeans:
    """Sums named figures up, batch after batch; ranks may have seen any number of images each.

    Sums stay on their device, in float64, until they are asked for: no step waits for a GPU.
    """

    _sums: dict[str, tuple[Tensor | float, int]] = field(default_factory=dict)

    def add(self, name: str, mean: Tensor | float, n_images: int) -> None:
        """Add a batch.

        Args:
            name: Of the figure.
            mean: Over the batch's images.
            n_images: How many these are.
        """
        total, n_before = self._sums.get(name, (0.0, 0))
        added = torch.as_tensor(mean).detach().double() * n_images
        self._sums[name] = total + added, n_before + n_images

    def compute(self) -> dict[str, float]:
        """Means over all ranks' images, the same on every rank; all ranks must call it."""
        parts = gather([{name: (float(total), n) for name, (total, n) in self._sums.items()}])
        means = {}
        for name in dict.fromkeys(name for part in parts for name in part):
            totals, counts = zip(*(part[name] for part in parts if name in part), strict=True)
            means[name] = sum(totals) / sum(counts)
        return means


def gather(rows: list[Any]) -> list[Any]:
    """Rows of all ranks in the order of the ranks, on every rank; all ranks must call it."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return rows
    gathered: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(gathered, rows)
    return [row for part in gathered for row in part]
