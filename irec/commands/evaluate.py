"""``irec evaluate`` and ``irec plot``: operating points, BD-rates and curves of lossy results."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from irec.commands.comparison import DEFAULT_CODECS, evaluate_images
from irec.commands.endings import UsageError
from irec.commands.endpoints import check_target, prepare_target
from irec.commands.options import ForceOption, PlotOption, count_option
from irec.defaults import DEFAULT_EFFORT
from irec.errors import DataError
from irec.files import write_json
from irec.terminal import say, show_table, table_of

if TYPE_CHECKING:
    from irec.evaluation.lossy_results import OperatingPoint
    from irec.evaluation.rate_distortion import BdRate, Comparison, Curve


AgainstOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME,NAME",
        help="Published curves to compare with, or none. Default: those of interest if the images "
        "are the 24 of Kodak, which all published curves are of, else none.",
    ),
]


def evaluate(
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMAGES|RESULTS.json",
            help="Folders, image files or .npy arrays to compress, or files that irec predict "
            "wrote with lossy models; several of these make one curve.",
        ),
    ],
    json_path: Annotated[
        Path | None,
        typer.Option("--json", metavar="OUT", help="Of results: write all figures here too."),
    ] = None,
    force: ForceOption = False,
    against: AgainstOption = None,
    codecs: Annotated[
        str,
        typer.Option(
            metavar="NAME,NAME",
            help="Of images: checkpoints, and png, webp, jpeg2000, jpegxl, flif, jpeg-lossy, "
            "webp-lossy, jpeg2000-lossy, avif-lossy, jpegxl-lossy, bpg-lossy.",
        ),
    ] = DEFAULT_CODECS,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Of images: where files go.")
    ] = Path("evaluated"),
    effort: Annotated[
        int, count_option("Of images: how hard our codecs search.", high=9)
    ] = DEFAULT_EFFORT,
    max_images: Annotated[
        int | None, count_option("Of images: take at most the first so many.")
    ] = None,
) -> None:
    """Compare codecs on images, or show rates, PSNR, MS-SSIM and BD-rates of results.

    Each file is decoded and verified. A BD-rate says how many more bits the files take for the
    same quality than another curve does: +20 % is worse, -20 % is better.
    """
    if any(path.suffix != ".json" for path in sources):
        evaluate_images(sources, codecs, output, effort, max_images)
        return
    if json_path is not None:
        if json_path.resolve() in {path.resolve() for path in sources}:
            raise UsageError(f"--json {json_path}: would overwrite the results themselves")
        check_target(json_path, force=force)
    points, images = _read_points(sources)
    from irec.evaluation.rate_distortion import compare, published_curves
    from irec.evaluation.results import operating_points_table, without_infinity

    curves = _read_published(against, images, list(published_curves()))
    comparisons = compare(points, {curve.label: curve for curve in curves})
    show_table(operating_points_table(points))
    _show_bd_rates(comparisons)
    if not curves:
        say(f"no published curves: they are of the 24 Kodak images, not of these {len(images)}")
    if json_path is not None:
        document = {
            "images": sorted(images),
            "operating_points": [without_infinity(asdict(point)) for point in points],
            "bd_rates": [asdict(comparison) for comparison in comparisons],
        }
        write_json(json_path, document)


def plot(
    results: Annotated[
        list[Path],
        typer.Argument(
            metavar="RESULTS.json",
            help="Files that irec predict wrote with lossy models; several make one curve.",
        ),
    ],
    output: PlotOption,
    against: AgainstOption = None,
    force: ForceOption = False,
) -> None:
    """Plot PSNR and MS-SSIM of lossy results over bits per pixel."""
    for target in (output, output.with_suffix(".csv")):
        prepare_target(target, force=force)
    points, images = _read_points(results)
    from irec.evaluation.plot_style import USUAL_CURVES
    from irec.evaluation.plots import plot_rate_distortion

    curves = _read_published(against, images, USUAL_CURVES)
    plot_rate_distortion(output, points, images, curves)
    counted = f"{len(points)} operating point{'s' * (len(points) != 1)}"
    say(f"{counted} -> {output} and {output.with_suffix('.csv').name}")


def _read_points(paths: Sequence[Path]) -> tuple[list["OperatingPoint"], frozenset[str]]:
    """Return the operating points of all files, and the names of their images."""
    from irec.evaluation.rate_distortion import merged_points
    from irec.evaluation.results import read_results

    results = [read_results(path) for path in paths]
    try:
        points = merged_points(results)
    except DataError as error:
        raise DataError(f"{', '.join(map(str, paths))}: {error}") from error
    return points, frozenset(row.name for one in results for row in one.rows)


def _read_published(
    names: str | None, images: frozenset[str], default: Sequence[str]
) -> list["Curve"]:
    """Return the published curves that were asked for, or those of `default` if they fit."""
    from irec.evaluation.rate_distortion import chosen_curves, is_kodak

    if names is None:
        return chosen_curves(default) if is_kodak(images) else []
    asked = [name.strip() for name in names.split(",")]
    return chosen_curves([name for name in asked if name not in ("", "none")])


def _show_bd_rates(comparisons: Sequence["Comparison"]) -> None:
    """BD-rates against the own ideal first, then by how good the other codec is."""

    def rank(comparison: "Comparison") -> float:
        rate = comparison.file_psnr
        return math.inf if rate is None else rate.percent

    def cell(rate: "BdRate | None") -> str:
        if rate is None:
            return "-"
        return f"{rate.percent:+.1f} %  ({rate.from_db:.1f}-{rate.to_db:.1f})"

    headings = ("against", "files, PSNR", "files, MS-SSIM", "ideal, PSNR", "ideal, MS-SSIM")
    rows = [
        (
            row.against,
            *map(cell, (row.file_psnr, row.file_ms_ssim, row.ideal_psnr, row.ideal_ms_ssim)),
        )
        for row in (comparisons[0], *sorted(comparisons[1:], key=rank))
    ]
    show_table(table_of("BD-rate, and the qualities it is over in dB", headings, rows))
