"""Progress of training as plain lines, for log files and pipes."""

import time

from lightning.pytorch import Callback, LightningModule, Trainer

from irec.terminal import say

# What the modules call what counts most.
_FIGURES = ("train/bpd", "val/bpd", "train/bpp", "train/psnr_db", "val/loss")


class EpochLines(Callback):
    """One line per epoch in place of a progress bar, which only terminals can show."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock: a resumed run enters its first epoch without saying so."""
        self._started, self._first_step = time.perf_counter(), trainer.global_step

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print where training stands; Lightning calls this after the epoch's validation."""
        steps = trainer.global_step - self._first_step
        if steps == 0 or not trainer.is_global_zero:
            return
        seconds = time.perf_counter() - self._started
        figures = "".join(
            f", {name} {value.item():.4f}"
            for name, value in trainer.callback_metrics.items()
            if name in _FIGURES
        )
        say(
            f"epoch {trainer.current_epoch}, step {trainer.global_step}{figures}, "
            f"{steps / seconds:.1f} steps/s"
        )
        self._started, self._first_step = time.perf_counter(), trainer.global_step
