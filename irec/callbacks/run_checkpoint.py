"""Checkpoints from which the same command goes on as if nothing had happened."""

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint


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
