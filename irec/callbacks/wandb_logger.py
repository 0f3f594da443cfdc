"""A WandbLogger that needs no account: without a key it logs to disk and says so."""

import os
from typing import Any, Literal

import wandb
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_info


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
            job_type: What the run does; predict says "compress".
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

    def describe(self, job_type: str, group: str) -> None:
        """Say what kind of run this is, where the user did not; before anything is logged."""
        for key, value in (("job_type", job_type), ("group", group)):
            self._wandb_init[key] = self._wandb_init.get(key) or value


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
