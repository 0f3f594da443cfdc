"""Writes what predict compressed: one file per image as it is done, the table at the end."""

from pathlib import Path
from typing import Any

import torch.distributed
from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console

from irec.bitstream import write_atomically
from irec.errors import DataError, IrecError
from irec.evaluation.results import ImageResult, results_table, write_results
from irec.lightning_modules.compression import CompressedImage

SUFFIX = ".irec"


class BitstreamWriter(Callback):
    """Collects the results of all ranks; files are written by the rank that made them."""

    def __init__(self, output_dir: str = "compressed") -> None:
        """Set the folder for `.irec` files, results.csv and results.json.

        Args:
            output_dir: created where it does not exist; files of the same names are replaced.
        """
        self.output_dir = Path(output_dir)
        self._results: list[ImageResult] = []

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Create the folder before any work is done."""
        self._results = []
        try:
            self.output_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise IrecError(f"cannot create {self.output_dir}: {error.strerror}") from error

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: list[CompressedImage],
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Write the batch's files."""
        for image in outputs:
            path = self._path_of(image.result.name)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, image.data, overwrite=True)
            self._results.append(image.result)

    def on_predict_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Bring the rows of all ranks together; rank 0 writes and prints them."""
        results = sorted(_gather(self._results), key=lambda row: row.name)
        if trainer.is_global_zero and results:
            write_results(self.output_dir, results)
            console = Console()
            console.print(results_table(results))
            console.print(f"{len(results)} files, results.csv and results.json: {self.output_dir}")

    def _path_of(self, name: str) -> Path:
        relative = Path(name)
        if relative.is_absolute() or ".." in relative.parts:
            raise DataError(f"image name {name!r} points outside {self.output_dir}")
        return (self.output_dir / relative).with_suffix(SUFFIX)


def _gather(rows: list[ImageResult]) -> list[ImageResult]:
    """Rows of all ranks, on every rank."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return rows
    gathered: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(gathered, rows)
    return [row for part in gathered for row in part]
