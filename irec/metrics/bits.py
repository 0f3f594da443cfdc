"""Bits per dimension without rounding drift, over any number of processes."""

import math

import torch
from torch import Tensor
from torchmetrics import Metric


class BitsPerDimension(Metric):
    """Mean of information over dimensions: total nats / (ln 2 x total dimensions).

    Sums are kept in float64 and int64: a float32 sum of a test set's bits is off by thousands.
    """

    full_state_update = False
    higher_is_better = False
    nats: Tensor
    n_dims: Tensor

    def __init__(self) -> None:
        """Start from zero."""
        super().__init__()
        self.add_state("nats", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("n_dims", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, nats: Tensor, n_dims: int) -> None:
        """Add images.

        Args:
            nats: information content; summed, whatever the shape.
            n_dims: height x width x channels, summed over the images.
        """
        self.nats += nats.detach().double().sum().to(self.nats.device)
        self.n_dims += n_dims

    def compute(self) -> Tensor:
        """Bits per dimension; NaN before the first update."""
        return self.nats / self.n_dims / math.log(2.0)
