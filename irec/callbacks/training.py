"""Callbacks of training: averaged weights, checkpoints, an end on SIGTERM, what a run leaves."""

import signal
import time
from pathlib import Path
from typing import Any, NoReturn

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint, RichProgressBar, WeightAveraging
from lightning.pytorch.cli import SaveConfigCallback
from lightning.pytorch.loggers import WandbLogger
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from irec.files import write_atomically
from irec.terminal import say


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


class RunCheckpoint(ModelCheckpoint):
    """Saves `last.ckpt` after each validation and where a run ends, and `best.ckpt`.

    The best is by the module's own figure of validation. With Lightning 2.6 a run saved at the very
    end of an epoch counts that epoch twice when it resumes, and leaves out the next one's order of
    images; saved after validation it does not. So epochs without one are not saved, and done again.
    """

    def __init__(self, dirpath: str) -> None:
        """Set the folder.

        Args:
            dirpath: Of this run alone: `--ckpt_path last` looks for `last.ckpt` here.
        """
        super().__init__(
            dirpath,
            filename="best",
            save_last=True,
            every_n_epochs=1,
            save_on_train_epoch_end=False,
            enable_version_counter=False,
        )

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Learn what the module calls good."""
        self.monitor = getattr(pl_module, "monitored", None)
        super().setup(trainer, pl_module, stage)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save what no validation will see: the last steps of a run, often."""
        ends = (
            trainer.should_stop,
            trainer.global_step == trainer.max_steps,
            trainer.current_epoch + 1 == trainer.max_epochs,
        )
        if any(ends) and self._last_global_step_saved != trainer.global_step:
            self._save_last_checkpoint(trainer, self._monitor_candidates(trainer))


class Terminated(KeyboardInterrupt):
    """Somebody asked the process to end; Lightning cleans up as it does after Ctrl-C."""


class EndOnSigterm(Callback):
    """Ends the run where it stands; what it saved at the end of its last epoch is there.

    Lightning's own way is to finish the batch and return as if all were done; predict never
    looks, and several processes wait for one another's answer for ever.
    """

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take SIGTERM over: Lightning has set its own handler just before."""
        signal.signal(signal.SIGTERM, _raise)

    on_validation_start = on_test_start = on_predict_start = on_fit_start


def _raise(*_: Any) -> NoReturn:
    # Once: what comes after it would only disturb the cleaning up.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Terminated


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

    on_train_epoch_end = on_validation_start

    def _stop(self, pl_module: LightningModule) -> None:
        if self._since is not None:
            self._seconds += _now(pl_module) - self._since
            self._since = None


def _now(pl_module: LightningModule) -> float:
    """Seconds, once the device has done what it was given: only where the clock starts or stops."""
    if pl_module.device.type == "cuda":
        torch.cuda.synchronize(pl_module.device)
    return time.perf_counter()


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


class RunConfigSaver(SaveConfigCallback):
    """Saves config.yaml into the run's own folder, and sends it to wandb.

    Lightning's own callback writes to the logger's `save_dir`, which several runs share with
    WandbLogger: the second run of a folder would refuse to start.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Leave out predict: it has no run folder, and its results say how they were made."""
        if stage != "predict":
            super().setup(trainer, pl_module, stage)

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Save it; Lightning calls this on rank 0 only (`save_to_log_dir` is off)."""
        config = self.parser.dump(self.config, skip_none=False)
        folder = Path(trainer.default_root_dir)
        logger = trainer.logger
        if isinstance(logger, WandbLogger):
            logger.experiment.config.update(
                {"resolved": self.config.as_dict()}, allow_val_change=True
            )
            # The summary keeps the best, not the last.
            if monitored := getattr(pl_module, "monitored", None):
                logger.experiment.define_metric(
                    monitored, step_metric="trainer/global_step", summary="min"
                )
            folder = Path(logger.experiment.dir)
        elif logger is not None and logger.log_dir is not None:
            # Not trainer.log_dir: it waits for the other ranks, which are not here.
            folder = Path(logger.log_dir)
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / "irec_config.yaml", config, overwrite=True)


class EpochBar(RichProgressBar):
    """Lightning's bar, which counts up to epoch -2 where the number of steps ends a run."""

    def _get_train_description(self, current_epoch: int) -> str:
        if self.trainer.max_epochs in (None, -1):
            return f"Epoch {current_epoch}".ljust(len(self.validation_description))
        return super()._get_train_description(current_epoch)
