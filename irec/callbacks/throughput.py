"""How fast training goes."""

import time
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor


class ImagesPerSecond(Callback):
    """Logs `train/images_per_s`, all processes together, validation and pauses left out."""

    def __init__(self) -> None:
        """Count from nothing."""
        self._seconds, self._n_images = 0.0, 0

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Tensor, batch_idx: int
    ) -> None:
        """Start the clock."""
        self._started = time.perf_counter()

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Tensor,
        batch_idx: int,
    ) -> None:
        """Log the mean since the last time that anything was logged."""
        self._seconds += time.perf_counter() - self._started
        self._n_images += len(batch) * trainer.world_size
        if trainer.global_step % trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            pl_module.log("train/images_per_s", self._n_images / self._seconds)
            self._seconds, self._n_images = 0.0, 0
