"""What the commands about rate-distortion curves share: results files in, published curves."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from irec.evaluation.lossy_results import OperatingPoint
    from irec.evaluation.rate_distortion import Curve

ResultsArgument = Annotated[
    list[Path],
    typer.Argument(
        metavar="RESULTS.json",
        help="Files that irec predict wrote with lossy models; several make one curve.",
    ),
]
AnchorsOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME,NAME",
        help="Published curves to compare with, or none. Default: those of interest if the images "
        "are the 24 of Kodak, which all published curves are of, else none.",
    ),
]


def read_points(paths: Sequence[Path]) -> tuple[list["OperatingPoint"], frozenset[str]]:
    """The operating points of all files, and the names of their images.

    Raises:
        DataError: a file is unreadable, or the points are of different images.
    """
    from irec.errors import DataError
    from irec.evaluation.rate_distortion import merged_points
    from irec.evaluation.results import read_results

    results = [read_results(path) for path in paths]
    try:
        points = merged_points(results)
    except DataError as error:
        raise DataError(f"{', '.join(map(str, paths))}: {error}") from error
    return points, frozenset(row.name for one in results for row in one.rows)


def read_anchors(
    names: str | None, images: frozenset[str], default: Sequence[str]
) -> list["Curve"]:
    """The published curves that were asked for, or those that fit the images.

    Args:
        names: the value of the option.
        images: names of the images.
        default: of the curves for Kodak.

    Raises:
        DataError: there is no such curve.
    """
    from irec.evaluation.rate_distortion import chosen_anchors, is_kodak

    if names is None:
        return chosen_anchors(default) if is_kodak(images) else []
    asked = [name.strip() for name in names.split(",")]
    return chosen_anchors([name for name in asked if name not in ("", "none")])
