"""Averaged weights, updated by a few operations on all weights together."""

from lightning.pytorch.callbacks import WeightAveraging
from torch.optim.swa_utils import get_ema_multi_avg_fn


class AveragedWeights(WeightAveraging):
    """An exponential moving average of the weights, which evaluation and checkpoints use.

    Lightning's EMAWeightAveraging takes five operations for each weight and step. Buffers are not
    averaged: some are tables, or flags.
    """

    def __init__(self, decay: float = 0.999) -> None:
        """Set the average up.

        Args:
            decay: What is left of the average at each step.
        """
        super().__init__(multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=False)
