"""A WandbLogger that needs no account: without a key it logs to disk and says so."""

import os
import secrets
from pathlib import Path
from typing import Any, Literal

import wandb
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_info

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
        settings: dict[str, Any] = {
            "mode": mode,
            "group": group,
            "tags": tags,
            "job_type": job_type,
        }
        super().__init__(
            project=project, name=name, save_dir=os.path.abspath(save_dir), id=id, **settings
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
