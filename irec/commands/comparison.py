"""``irec evaluate`` of images: our checkpoints and other codecs on the same pictures."""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from irec.commands.endings import UsageError
from irec.defaults import DEFAULT_LOSSY_CHECKPOINT
from irec.errors import IrecError
from irec.files import write_json
from irec.terminal import say, show_table, table_of

if TYPE_CHECKING:
    from irec.datamodules.batches import NamedImage
    from irec.evaluation.codecs import ClassicalCodec
    from irec.evaluation.measurements import Measurement
    from irec.evaluation.rate_distortion import Curve

DEFAULT_CODECS = (
    f"rvae-small,{DEFAULT_LOSSY_CHECKPOINT},png,webp,jpeg2000,jpegxl,jpeg-lossy,webp-lossy"
)


def evaluate_images(
    sources: Sequence[Path], codecs: str, output: Path, effort: int, max_images: int | None
) -> None:
    """Compress all images with all codecs, decode and verify each file, and compare.

    Arguments are the options of :func:`irec.commands.evaluate.evaluate`.

    Raises:
        UsageError: A codec is unknown, or none is named.
        DataError: An image cannot be read.
    """
    from irec.evaluation.codecs import classical_codecs

    names = [name.strip() for name in codecs.split(",") if name.strip()]
    known = classical_codecs()
    if not names:
        raise UsageError(
            f"--codecs {codecs!r} names none; name checkpoints, or some of {', '.join(known)}"
        )
    images = _images(sources, max_images)
    measured: list[Measurement] = []
    for name in names:
        if name not in known:
            measured += _ours(name, images, output / Path(name).name, effort)
        elif (reason := known[name].missing) is not None:
            say(f"{name} is left out: {reason}", sys.stderr)
        else:
            measured += _theirs(known[name], images)
    _write_and_show(measured, output)
    say(f"{len(measured)} measurements: {output / 'measurements.json'}")


def _write_and_show(measured: "Sequence[Measurement]", output: Path) -> None:
    from irec.evaluation import measurements as of

    output.mkdir(parents=True, exist_ok=True)
    write_json(output / "measurements.json", of.as_document(measured))
    groups = of.by_codec(measured)
    lossless = {label: part for label, part in groups.items() if of.is_lossless(part)}
    if lossless:
        show_table(of.lossless_per_image(lossless))
        show_table(of.lossless_comparison(lossless))
    lossy = {label: part for label, part in groups.items() if label not in lossless}
    if lossy:
        _show_curves({label: of.curve_of(label, part) for label, part in lossy.items()})
    for label, part in lossy.items():
        # The format of CompressAI's tools, for plots beside others' results.
        name = "-".join(re.findall(r"[a-z0-9]+", label.lower()))
        write_json(output / f"compressai-{name}.json", of.compressai_document(label, part))


def _images(sources: Sequence[Path], max_images: int | None) -> "list[NamedImage]":
    """Images in RGB or grey, without alpha: not all codecs know it."""
    from irec.datamodules.batches import ImageListDataset
    from irec.datamodules.image_files import list_images
    from irec.images import without_alpha

    listed = [item for source in sources for item in list_images(source)]
    images = ImageListDataset(listed[:max_images])
    return [
        image._replace(pixels=without_alpha(image.pixels).copy())
        for image in map(images.__getitem__, range(len(images)))
    ]


def _ours(
    name: str, images: "Sequence[NamedImage]", folder: Path, effort: int
) -> "list[Measurement]":
    from irec.datamodules.batches import ImageBatch
    from irec.errors import CheckpointError
    from irec.evaluation.codecs import classical_codecs
    from irec.evaluation.measurements import measurements_of
    from irec.evaluation.results import read_results
    from irec.measuring.compression import CoderOptions
    from irec.measuring.run import CompressionRun
    from irec.models.zoo import load_checkpoint

    options = CoderOptions(effort=effort, ideal_samples=1)
    try:
        codec = options.codec(load_checkpoint(name))
    except CheckpointError as error:
        others = ", ".join(classical_codecs())
        raise UsageError(f"--codecs {name}: {error}; other codecs are {others}") from error
    run = CompressionRun(codec, options, folder)
    for image in images:
        run.do(ImageBatch([image], []))
    run.finish()
    if run.failed:
        raise IrecError(f"{name}: {len(run.failed)} of the images could not be compressed")
    return measurements_of(read_results(folder / "results.json"))


def _theirs(codec: "ClassicalCodec", images: "Sequence[NamedImage]") -> "list[Measurement]":
    from irec.evaluation.measurements import measure_classical
    from irec.images import psnr_db
    from irec.metrics.ms_ssim import ms_ssim

    measured = []
    for name, pixels in images:
        measured += measure_classical(codec, name, pixels, psnr_db, ms_ssim)
        n_files = len(codec.settings)
        say(f"{codec.label}: {name}, {n_files} file{'s' * (n_files != 1)}")
    return measured


def _show_curves(curves: "Mapping[str, Curve]") -> None:
    """Print curves, and how many more bits each codec (row) takes than each other one (column)."""
    from irec.evaluation.lossy_results import as_decibels

    headings = ("codec", "bpp", "PSNR (dB)", "MS-SSIM (dB)")
    table = table_of("rate and distortion, means over images", headings)
    for label, curve in curves.items():
        for bpp, db, similarity in zip(curve.bpp, curve.psnr_db, curve.ms_ssim, strict=True):
            decibels = as_decibels(similarity)
            shown = "-" if decibels is None else f"{decibels:.2f}"
            table.add_row(label, f"{bpp:.4f}", f"{db:.2f}", shown)
        table.add_section()
    show_table(table)
    rows = ([label, *_bd_rates(label, curves)] for label in curves)
    show_table(table_of("BD-rate of rows against columns, over PSNR", ("codec", *curves), rows))


def _bd_rates(label: str, curves: "Mapping[str, Curve]") -> Iterator[str]:
    """Each curve's BD-rate with one of them, over PSNR, in words."""
    from irec.evaluation.rate_distortion import CurvesNotComparableError, bd_rate

    for name, other in curves.items():
        try:
            percent = bd_rate(curves[label].points("psnr"), other.points("psnr")).percent
            yield "" if label == name else f"{percent:+.1f} %"
        except CurvesNotComparableError:
            yield "-"
