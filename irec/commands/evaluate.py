"""``irec evaluate``: operating points and BD-rates of lossy results."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from irec.commands.batch import one_line_errors
from irec.commands.curves import AnchorsOption, ResultsArgument, read_anchors, read_points
from irec.commands.jobs import UsageError
from irec.files import write_atomically
from irec.terminal import say, show_table

if TYPE_CHECKING:
    from rich.table import Table

    from irec.evaluation.bd_rate import BdRate, Comparison


def evaluate(
    results: ResultsArgument,
    json_path: Annotated[
        Path | None,
        typer.Option("--json", metavar="OUT", help="Write all figures to this file too."),
    ] = None,
    anchors: AnchorsOption = None,
) -> None:
    """Show rate, PSNR, MS-SSIM and BD-rates of lossy results.

    A BD-rate says how many more bits the files take for the same quality than another curve does:
    +20 % is worse, -20 % is better.
    """
    with one_line_errors():
        if json_path is not None and json_path.resolve() in {path.resolve() for path in results}:
            raise UsageError(f"--json {json_path}: would overwrite the results themselves")
        points, images = read_points(results)
        from irec.evaluation.bd_rate import compare
        from irec.evaluation.lossy_results import operating_points_table
        from irec.evaluation.rate_distortion import kodak_anchors
        from irec.evaluation.results import without_infinity

        curves = read_anchors(anchors, images, list(kodak_anchors()))
        comparisons = compare(points, {curve.label: curve for curve in curves})
        show_table(operating_points_table(points))
        show_table(_bd_rate_table(comparisons))
        if not curves:
            say(f"no published curves: they are of the 24 Kodak images, not of these {len(images)}")
        if json_path is not None:
            document = {
                "images": sorted(images),
                "operating_points": [without_infinity(asdict(point)) for point in points],
                "bd_rates": [asdict(comparison) for comparison in comparisons],
            }
            text = json.dumps(document, indent=2, allow_nan=False)
            write_atomically(json_path, text + "\n", overwrite=True)


def _bd_rate_table(comparisons: Sequence["Comparison"]) -> "Table":
    """BD-rates against the own ideal first, then by how good the other codec is."""
    from rich.table import Table

    table = Table(title="BD-rate, and the qualities it is over in dB", title_style="bold")
    table.add_column("against")
    for heading in ("files, PSNR", "files, MS-SSIM", "ideal, PSNR", "ideal, MS-SSIM"):
        table.add_column(heading, justify="right")
    own, others = comparisons[0], sorted(comparisons[1:], key=_rank)
    for row in [own, *others]:
        rates = (row.file_psnr, row.file_ms_ssim, row.ideal_psnr, row.ideal_ms_ssim)
        table.add_row(row.against, *map(_cell, rates))
    return table


def _rank(comparison: "Comparison") -> float:
    rate = comparison.file_psnr
    return float("inf") if rate is None else rate.percent


def _cell(rate: "BdRate | None") -> str:
    return "-" if rate is None else f"{rate.percent:+.1f} %  ({rate.from_db:.1f}-{rate.to_db:.1f})"
