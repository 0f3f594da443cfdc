"""Keeps the resolved configuration with the run that it describes."""

from pathlib import Path

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import SaveConfigCallback
from lightning.pytorch.loggers import WandbLogger

from irec.files import write_atomically


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
