"""A run over a set of images: files as they are done, notes to go on from, the table at the end."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from irec import __version__
from irec.codec import Codec
from irec.datamodules.batches import FailedImage, ImageBatch, NamedImage
from irec.errors import DataError, IrecError
from irec.evaluation.plots import write_rate_distortion
from irec.evaluation.results import (
    RESULT_FILES,
    LossyResult,
    Row,
    results_table,
    totals,
    write_results,
)
from irec.files import write_atomically
from irec.images import without_image_suffix
from irec.measuring.compression import CoderOptions, CompressedBatch, CompressedImage
from irec.measuring.journal import Journal
from irec.measuring.measure import measure
from irec.terminal import say, show_table

SUFFIX = ".irec"
Gather = Callable[[list[Any]], list[Any]]


class CompressionRun:
    """Compresses one batch after the other; each process of several has a run of its own.

    Where images are compressed at several qualities, each has a folder of its own. Started again
    with the same folder, images that are done stay as they are.

    Attributes:
        codec: What compresses.
        settings: Everything that files and figures depend on, as JSON has it.
        results: Rows of this process so far; after :meth:`finish` those of all processes.
        failed: Names of the images that could not be compressed, with the reason; likewise.
    """

    def __init__(
        self,
        codec: Codec,
        options: CoderOptions,
        output_dir: Path,
        *,
        rank: int = 0,
        quiet: bool = False,
    ) -> None:
        """Create the folder before any work is done, and see what an earlier run left in it.

        Args:
            codec: Made by `options`.
            options: How to code.
            output_dir: For `.irec` files, results.csv and results.json; files of the same names
                are replaced.
            rank: Of this process.
            quiet: Whether only failures are printed.

        Raises:
            InvalidParameterError: The options are for other models.
            IrecError: The folder cannot be written to.
        """
        self.codec = codec
        self.output_dir = output_dir
        self.settings = {
            "irec": __version__,
            "checkpoint": codec.checkpoint.name,
            "fingerprint": codec.checkpoint.fingerprint.hex(),
            **asdict(options),
        }
        self.results: list[Row] = []
        self.failed: dict[str, str] = {}
        self._options = options
        self._qualities = options.qualities_for(codec)
        self._quiet = quiet
        with self._one_line_errors():
            output_dir.mkdir(parents=True, exist_ok=True)
            self._journal = Journal(output_dir, self.settings, rank)

    def do(self, batch: ImageBatch) -> CompressedBatch:
        """Compress a batch, write its files, and say a line for each."""
        # All or nothing: another batch could give an image another file.
        kept = self._find_done(batch.images)
        if kept is None:
            made = measure(self.codec, batch.images, self._qualities, self._options.ideal_samples)
        else:
            made = CompressedBatch(kept)
        done = CompressedBatch(made.images, batch.failures + made.failures)
        for failure in done.failures:
            self._report(failure)
        for image in done.images:
            if not image.is_kept:
                self._write(image)
            if not self._quiet:
                say(_line(image))
            self.results.append(image.result)
        return done

    def finish(self, gather: Gather = list, is_first: bool = True) -> None:
        """Bring the rows of all processes together; the first one writes and prints them.

        Args:
            gather: Gives the rows of all processes; all of them call it.
            is_first: Whether this process is the one.
        """
        self.results = sorted(gather(self.results), key=lambda row: row.identity)
        self.failed = dict(sorted(gather(list(self.failed.items()))))
        if not is_first:
            return
        with self._one_line_errors():
            if self.results:
                write_results(self.output_dir, self.results, self.settings, self.failed)
                write_rate_distortion(self.output_dir, self.results)
            else:
                # What an earlier run found is not what this one did.
                for name in RESULT_FILES:
                    (self.output_dir / name).unlink(missing_ok=True)
            if not self.failed:
                self._journal.close()
        if self.results and not self._quiet:
            show_table(results_table(self.results))
            say(f"{len(self.results)} files, results.csv and results.json: {self.output_dir}")

    def _report(self, failure: FailedImage) -> None:
        named = failure.name in failure.reason
        say(f"failed: {'' if named else failure.name + ': '}{failure.reason}", sys.stderr)
        self.failed[failure.name] = failure.reason

    def _write(self, image: CompressedImage) -> None:
        path = self._path_of(*image.result.identity)
        with self._one_line_errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, image.data, overwrite=True)
            self._journal.add(image.result, image.pixels, image.data)

    def _find_done(self, images: Sequence[NamedImage]) -> list[CompressedImage] | None:
        """Return what an earlier run made of a batch, if every image of it was done."""
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
        path = folder / without_image_suffix(relative)
        return path.with_name(path.name + SUFFIX)

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
