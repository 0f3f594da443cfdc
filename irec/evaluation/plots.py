"""Plots of rate against distortion, each with the plotted figures in a CSV file beside it."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from irec.evaluation.lossy_results import OperatingPoint, as_decibels, operating_points
from irec.evaluation.plot_style import (
    BLUE,
    CLASSICAL,
    GREEN,
    GREY,
    LABELS,
    USUAL_CURVES,
    VERMILION,
    continued,
    figure,
    last_visible,
    spread,
)
from irec.evaluation.rate_distortion import (
    Curve,
    Measure,
    Points,
    chosen_curves,
    file_curve,
    ideal_curve,
    is_kodak,
)
from irec.evaluation.results import Row, lossy_rows, write_csv

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Dash = Literal["-", "--"]
AXES: dict[Measure, str] = {"psnr": "PSNR (dB)", "ms_ssim": "MS-SSIM (dB)"}


@dataclass(frozen=True)
class _Drawn:
    """A curve and how it is drawn."""

    curve: Curve
    colour: str
    dash: Dash
    is_own: bool


def write_rate_distortion(folder: Path, rows: Sequence[Row]) -> None:
    """Write rate_distortion.png and rate_distortion.csv into `folder`.

    Published curves are shown where the images are the 24 of Kodak. Writes nothing where there are
    fewer than two operating points, or results are lossless.
    """
    points = operating_points(lossy_rows(rows))
    if len(points) > 1:
        images = {row.name for row in rows}
        others = chosen_curves(USUAL_CURVES) if is_kodak(images) else []
        plot_rate_distortion(folder / "rate_distortion.png", points, images, others)


def plot_rate_distortion(
    path: Path,
    points: Sequence[OperatingPoint],
    images: Collection[str],
    others: Sequence[Curve] = (),
) -> None:
    """Plot PSNR and MS-SSIM, both in dB, over bits per pixel: of files, and their ideal.

    Args:
        path: Ends in .png, .svg or .pdf; the figures go into a .csv file of the same name.
        points: Means over the images.
        images: Their names.
        others: Other codecs' curves.

    Raises:
        DataError: `path` ends in something else.
    """
    file, ideal = file_curve(points), ideal_curve(points)
    own = [_Drawn(file, BLUE, "-", True), _Drawn(ideal, BLUE, "--", True)]
    drawn = own + [_as_published(curve) for curve in others]
    measures = [measure for measure in AXES if file.points(measure)]
    title = f"{'Kodak, mean' if is_kodak(images) else 'Mean'} of {len(images)} images"
    with figure(path, (5.6 * max(1, len(measures)), 4.4), title) as drawing:
        for i, measure in enumerate(measures):
            axes = drawing.add_subplot(1, len(measures), i + 1)
            _draw_panel(axes, drawn, measure)
    write_csv(
        path.with_suffix(".csv"),
        ("curve", "bpp", "psnr_db", "ms_ssim", "ms_ssim_db"),
        (
            (one.curve.label, bpp, psnr_db, ms_ssim, as_decibels(ms_ssim))
            for one in drawn
            for bpp, psnr_db, ms_ssim in zip(
                one.curve.bpp, one.curve.psnr_db, one.curve.ms_ssim, strict=True
            )
        ),
    )


def plot_progressive(
    path: Path, points: Sequence[tuple[int, float]], full_bytes: int, title: str = ""
) -> None:
    """Plot the PSNR of what decodes from the beginning of one file.

    Args:
        path: As for :func:`plot_rate_distortion`.
        points: (bytes received, PSNR in dB of the image decoded from them).
        full_bytes: Size of the file.
        title: Above the plot.

    Raises:
        DataError: `path` ends in something else.
    """
    points = sorted(points)
    shown = [(received, db) for received, db in points if math.isfinite(db)]
    with figure(path, (5.6, 4.0), title) as drawing:
        axes = drawing.add_subplot()
        # What is shown stays on the screen until more arrives.
        axes.plot(*zip(*shown, strict=True), color=BLUE, drawstyle="steps-post", linewidth=1.4)
        axes.plot(*zip(*shown, strict=True), "o", color=BLUE, markersize=3.5)
        axes.axvline(full_bytes, color=GREY, linewidth=0.8, linestyle=":")
        axes.annotate(
            f"whole file: {full_bytes:,} bytes",
            (full_bytes, 0.02),
            xycoords=("data", "axes fraction"),
            xytext=(-4, 0),
            textcoords="offset points",
            color=GREY,
            ha="right",
        )
        axes.set(xlabel="bytes received", ylabel=AXES["psnr"], xlim=(0, 1.03 * full_bytes))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    write_csv(path.with_suffix(".csv"), ("bytes_received", "psnr_db"), points)


def _as_published(curve: Curve) -> _Drawn:
    """In the colour of its family: classical codecs, published iREC, other learned codecs."""
    name = curve.label
    learned = VERMILION if name.startswith("irec") else GREEN
    dash: Dash = "--" if name.endswith("ideal") else "-"
    return _Drawn(curve, GREY if name in CLASSICAL else learned, dash, False)


def _draw_panel(axes: "Axes", drawn: Sequence[_Drawn], measure: Measure) -> None:
    axes.set(xlabel="bits per pixel", ylabel=AXES[measure])
    shown = [(one, points) for one in drawn if (points := one.curve.points(measure))]
    x_limit, y_limits = _limits(shown)
    for one, points in shown:
        axes.plot(
            *zip(*points, strict=True),
            one.dash,
            color=one.colour,
            linewidth=1.8 if one.is_own else 0.9,
            marker="o" if one.is_own else "",
            markersize=3.5,
            zorder=3 if one.is_own else 2,
        )
    axes.set(xlim=(0.0, x_limit), ylim=y_limits)
    _label(axes, shown)


def _limits(shown: Sequence[tuple[_Drawn, Points]]) -> tuple[float, tuple[float, float]]:
    """Return the range of the own curves, and above it room for better codecs."""
    own = [point for one, points in shown if one.is_own for point in points]
    x_limit = 1.08 * max(bpp for bpp, _ in own)
    ends = [last_visible(points, x_limit, (-math.inf, math.inf)) for _, points in shown]
    low = min(db for _, db in own)
    high = max([db for _, db in own] + [end[1] for end in ends if end])
    margin = 0.05 * (high - low) or 1.0
    return x_limit, (low - margin, high + margin)


def _label(axes: "Axes", shown: Sequence[tuple[_Drawn, Points]]) -> None:
    """Write each curve's name to the right of the panel, with a thin line to its end."""
    (_, x_limit), y_limits = axes.get_xlim(), axes.get_ylim()
    visible = [
        (one, points, end)
        for one, points in shown
        if (end := last_visible(points, x_limit, y_limits)) is not None
    ]
    gap = 0.052 * (y_limits[1] - y_limits[0])
    wanted = [continued(points, end, x_limit) for _, points, end in visible]
    for (one, _, end), height in zip(visible, spread(wanted, gap, y_limits), strict=True):
        axes.annotate(
            LABELS.get(one.curve.label, one.curve.label),
            end,
            xytext=(1.05, (height - y_limits[0]) / (y_limits[1] - y_limits[0])),
            textcoords="axes fraction",
            color=one.colour,
            fontweight="bold" if one.is_own else "normal",
            va="center",
            arrowprops={
                "arrowstyle": "-",
                "color": one.colour,
                "linewidth": 0.4,
                "shrinkB": 0,
                "relpos": (0.0, 0.5),
            },
            annotation_clip=False,
        )
