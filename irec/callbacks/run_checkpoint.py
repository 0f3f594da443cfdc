"""Checkpoints from which the same command goes on as if nothing had happened."""

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint


class RunCheckpoint(ModelCheckpoint):
    """Saves `last.ckpt` after the validation of each epoch, and where a run's steps end.

    With Lightning 2.6 a run saved at the very end of an epoch counts that epoch twice when it
    resumes, and leaves out the next one's order of images; saved after validation it does not.
    """

    def __init__(self, dirpath: str) -> None:
        """Set the folder.

        Args:
            dirpath: of this run alone: `--ckpt_path last` looks for `last.ckpt` here.
        """
        super().__init__(
            dirpath,
            save_last=True,
            every_n_epochs=1,
            save_on_train_epoch_end=False,
            enable_version_counter=False,
        )

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save what validation did not come to see: the last steps of a run, often."""
        if self._last_global_step_saved != trainer.global_step:
            self._save_last_checkpoint(trainer, self._monitor_candidates(trainer))
