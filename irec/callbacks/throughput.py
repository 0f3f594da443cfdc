"""How fast training goes."""

import time
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor


class ImagesPerSecond(Callback):
    """Logs `train/images_per_s`, all processes together, validation and pauses left out."""

    def __init__(self) -> None:
        """Count from nothing."""
        self._seconds, self._n_images = 0.0, 0
        self._since: float | None = None

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Start the clock, where it stands."""
        if self._since is None:
            self._since = _now(pl_module)

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Log the mean since the last time that anything was logged."""
        parts = [batch] if isinstance(batch, Tensor) else batch
        self._n_images += sum(map(len, parts)) * trainer.world_size
        if trainer.global_step % trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            self._stop(pl_module)
            pl_module.log("train/images_per_s", self._n_images / self._seconds)
            self._seconds, self._n_images = 0.0, 0

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock."""
        self._stop(pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock."""
        self._stop(pl_module)

    def _stop(self, pl_module: LightningModule) -> None:
        if self._since is not None:
            self._seconds += _now(pl_module) - self._since
            self._since = None


def _now(pl_module: LightningModule) -> float:
    """Seconds, once the device has done what it was given: only where the clock starts or stops."""
    if pl_module.device.type == "cuda":
        torch.cuda.synchronize(pl_module.device)
    return time.perf_counter()
