"""Writes what predict compressed: one file per image as it is done, the table at the end."""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch.distributed
from lightning.pytorch import Callback, LightningModule, Trainer

from irec.datamodules.batches import FailedImage, NamedImage
from irec.errors import DataError, IrecError
from irec.evaluation.journal import Journal
from irec.evaluation.plots import write_rate_distortion
from irec.evaluation.results import LossyResult, Row, results_table, totals, write_results
from irec.files import write_atomically
from irec.lightning_modules.compression import CompressedBatch, CompressedImage
from irec.terminal import say, show_table

SUFFIX = ".irec"


class BitstreamWriter(Callback):
    """Collects the results of all ranks; files are written by the rank that made them.

    Where images are compressed at several qualities, each has a folder of its own.

    Attributes:
        n_failed: images of all ranks that could not be compressed, known at the end.
    """

    def __init__(self, output_dir: str = "compressed", quiet: bool = False) -> None:
        """Set the folder for `.irec` files, results.csv and results.json.

        Args:
            output_dir: created where it does not exist; files of the same names are replaced.
            quiet: whether only failures are printed.
        """
        self.output_dir = Path(output_dir)
        self.quiet = quiet
        self.n_failed = 0
        self._results: list[Row] = []
        self._failures: list[FailedImage] = []
        self._settings: dict[str, Any] = {}

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Create the folder before any work is done, and see what an earlier run left in it."""
        self._results, self._failures = [], []
        self._settings = pl_module.compression_settings  # type: ignore[assignment]
        self._qualities: Sequence[float | None] = pl_module.qualities  # type: ignore[assignment]
        with self._one_line_errors():
            self.output_dir.mkdir(parents=True, exist_ok=True)
            self._journal = Journal(self.output_dir, self._settings, trainer.global_rank)
        pl_module.find_done = self._find_done  # type: ignore[assignment]

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: CompressedBatch,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Write the batch's files, and a line for each."""
        for failure in outputs.failures:
            named = failure.name in failure.reason
            say(f"failed: {'' if named else failure.name + ': '}{failure.reason}", sys.stderr)
        for image in outputs.images:
            if not image.is_kept:
                self._write(image)
            if not self.quiet:
                say(_line(image))
            self._results.append(image.result)
        self._failures += outputs.failures

    def on_predict_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Bring the rows of all ranks together; rank 0 writes and prints them."""
        results = sorted(gather(self._results), key=lambda row: row.identity)
        failed = {failure.name: failure.reason for failure in sorted(gather(self._failures))}
        self.n_failed = len(failed)
        if not (trainer.is_global_zero and results):
            return
        with self._one_line_errors():
            write_results(self.output_dir, results, self._settings, failed)
            write_rate_distortion(self.output_dir, results)
            if not failed:
                self._journal.close()
        if not self.quiet:
            show_table(results_table(results))
            say(f"{len(results)} files, results.csv and results.json: {self.output_dir}")

    def _write(self, image: CompressedImage) -> None:
        path = self._path_of(*image.result.identity)
        with self._one_line_errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, image.data, overwrite=True)
            self._journal.add(image.result, image.pixels, image.data)

    def _find_done(self, images: Sequence[NamedImage]) -> list[CompressedImage] | None:
        """What an earlier run made of a batch, if every image of it was done."""
        done = []
        for name, pixels in images:
            for quality in self._qualities:
                path = self._path_of(name, quality)
                data = path.read_bytes() if path.is_file() else b""
                result = self._journal.find(name, pixels, data, quality)
                if result is None:
                    return None
                done.append(CompressedImage(data, result, pixels, is_kept=True))
        return done

    def _path_of(self, name: str, quality: float | None) -> Path:
        relative = Path(name)
        if relative.is_absolute() or ".." in relative.parts:
            raise DataError(f"image name {name!r} points outside {self.output_dir}")
        folder = self.output_dir
        if quality is not None:
            folder /= f"quality_{quality:g}"
        return (folder / relative).with_suffix(SUFFIX)

    @contextlib.contextmanager
    def _one_line_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise IrecError(f"cannot write to {self.output_dir}: {error.strerror}") from error


def _line(image: CompressedImage) -> str:
    row, summed = image.result, totals([image.result])
    how = "kept" if image.is_kept else f"{row.encode_s:.1f} s"
    if isinstance(row, LossyResult):
        quality = "" if row.quality is None else f" at quality {row.quality:g}"
        return (
            f"{row.name}{quality}: {row.file_bits // 8:,} bytes, {row.file_bpp:.3f} bpp, "
            f"{row.psnr_db:.2f} dB, {how}"
        )
    return (
        f"{row.name}: {row.file_bits // 8:,} bytes, {summed['file_bpd']:.3f} bpd, "
        f"{summed['overhead']:+.1%} over ideal, {how}"
    )


def gather(rows: list[Any]) -> list[Any]:
    """Rows of all ranks, on every rank; all ranks must call it."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return rows
    gathered: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(gathered, rows)
    return [row for part in gathered for row in part]
