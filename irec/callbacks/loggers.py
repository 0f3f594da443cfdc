"""Loggers of training: wandb without an account, and pictures of a run."""

import os
import secrets
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import torch
import wandb
from jaxtyping import UInt8
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger
from lightning.pytorch.utilities import rank_zero_info
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor
from torchvision.utils import make_grid

from irec.files import write_atomically


class AutoOfflineWandbLogger(WandbLogger):
    """Logs to wandb; offline where no API key is set and nothing else was asked for."""

    def __init__(
        self,
        project: str = "irec",
        name: str | None = None,
        save_dir: str = "runs",
        id: str | None = None,
        group: str | None = None,
        tags: list[str] | None = None,
        job_type: str | None = None,
        mode: Literal["auto", "online", "offline", "disabled"] = "auto",
    ) -> None:
        """Set up the logger.

        Args:
            project: Wandb project.
            name: Of the run; wandb invents one where it is None.
            save_dir: Folder for logs and checkpoints.
            id: Of the run, to continue one.
            group: Of runs that belong together.
            tags: Of the run.
            job_type: What the run does; the commands say "train", "evaluate" or "compress".
            mode: "auto" is online with a key, offline without.
        """
        if mode == "auto":
            mode = _available_mode(save_dir)
        os.makedirs(save_dir, exist_ok=True)
        super().__init__(
            project=project,
            name=name,
            save_dir=os.path.abspath(save_dir),
            id=id,
            mode=mode,
            group=group,
            tags=tags,
            job_type=job_type,
        )

    def describe(self, job_type: str, group: str | None = None) -> None:
        """Say what kind of run this is, where the user did not; before anything is logged."""
        for key, value in (("job_type", job_type), ("group", group)):
            self._wandb_init[key] = self._wandb_init.get(key) or value

    def continue_run(self, folder: Path, is_resumed: bool) -> None:
        """Make a training run one run of wandb however often it is resumed; before it is logged.

        Args:
            folder: Of the training run; the name that wandb knows it by is kept there.
            is_resumed: Whether the training goes on from what is in the folder.
        """
        kept = folder / "wandb_run"
        if self._wandb_init.get("id") is None:
            is_known = is_resumed and kept.is_file()
            name = kept.read_text().strip() if is_known else secrets.token_hex(4)
            self._wandb_init["id"] = self._id = name
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(kept, f"{self._id}\n", overwrite=True)


def _available_mode(save_dir: str) -> Literal["online", "offline", "disabled"]:
    """Return what the environment asks for or allows."""
    asked = os.environ.get("WANDB_MODE", "")
    if asked == "disabled":
        return "disabled"
    if asked != "offline" and wandb.login(prompt=False):
        return "online"
    rank_zero_info(
        f"wandb: no API key, so this run is logged offline; look at it with `wandb leet "
        f"{save_dir}/wandb`, upload it with `wandb sync {save_dir}/wandb/offline-run-*`"
    )
    return "offline"


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
            for key, shown in (("reconstructions", pairs), ("samples", samples)):
                grid = make_grid(shown.cpu(), nrow=len(images))
                for logger in takers:
                    _log(logger, f"images/{key}", grid, trainer.global_step)


_TAKERS = (WandbLogger, TensorBoardLogger)


def _log(logger: Logger, key: str, picture: UInt8[Tensor, "3 h w"], step: int) -> None:
    if isinstance(logger, WandbLogger):
        logger.log_image(key, [picture.float() / 255.0], step=step)
    elif isinstance(logger, TensorBoardLogger):
        logger.experiment.add_image(key, picture, step)
