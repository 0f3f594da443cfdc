"""Pictures of a run: validation images, their reconstructions, and samples of the model."""

from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import UInt8
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor
from torchvision.utils import make_grid


@runtime_checkable
class ShowsImages(Protocol):
    """What a module must offer to be pictured."""

    def reconstruct(self, images: UInt8[Tensor, "n 3 h w"]) -> UInt8[Tensor, "n 3 h w"]:
        """Images as the model sees them."""

    def sample(self, n: int, height: int, width: int) -> UInt8[Tensor, "n 3 h w"]:
        """Images that the model dreams up."""


class ImageLogger(Callback):
    """Logs pictures after validation, to wandb and TensorBoard; other loggers hold none."""

    def __init__(self, n_images: int = 8, every_n_epochs: int = 1) -> None:
        """Say how many and how often.

        Args:
            n_images: Of the first validation batch, where it has as many, and of samples.
            every_n_epochs: How many epochs lie between two sets of pictures.
        """
        self.n_images = n_images
        self.every_n_epochs = every_n_epochs

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Tensor,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Log pictures of the first batch; here averaged weights are in place."""
        # Whether that many epochs were completed since the validation before this one.
        since = (trainer.current_epoch + 1) % self.every_n_epochs
        is_due = since < (trainer.check_val_every_n_epoch or 1)
        is_first = batch_idx == 0 and dataloader_idx == 0 and not trainer.sanity_checking
        if not (is_first and is_due and trainer.is_global_zero):
            return
        takers = [logger for logger in trainer.loggers if isinstance(logger, _TAKERS)]
        if takers and isinstance(pl_module, ShowsImages):
            images = batch[: self.n_images]
            # Whoever leaves the pictures out must get the same weights.
            with isolate_rng():
                torch.manual_seed(0)
                pairs = torch.cat([images, pl_module.reconstruct(images)])
                samples = pl_module.sample(len(images), *images.shape[2:])
            for logger in takers:
                _log(logger, "images/reconstructions", pairs, len(images), trainer.global_step)
                _log(logger, "images/samples", samples, len(images), trainer.global_step)


_TAKERS = (WandbLogger, TensorBoardLogger)


def _log(
    logger: Logger, key: str, images: UInt8[Tensor, "n 3 h w"], n_columns: int, step: int
) -> None:
    """One picture: images in rows of `n_columns`."""
    grid = make_grid(images.cpu(), nrow=n_columns)
    if isinstance(logger, WandbLogger):
        logger.log_image(key, [grid.float() / 255.0], step=step)
    elif isinstance(logger, TensorBoardLogger):
        logger.experiment.add_image(key, grid, step)
