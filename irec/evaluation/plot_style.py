"""How plots look: colours, names and their places, and the page that they are drawn on."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from irec.errors import DataError
from irec.files import unfinished

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = (".png", ".svg", ".pdf")
# What is shown of the published curves unless somebody names others.
USUAL_CURVES = (
    "jpeg",
    "jpeg2000",
    "webp",
    "bpg_444",
    "vtm",
    "bmshj2018-hyperprior-mse",
    "mbt2018-mse",
    "irec2020-mse-actual",
    "irec2020-mse-ideal",
)
LABELS = {
    "jpeg": "JPEG",
    "jpeg2000": "JPEG 2000",
    "webp": "WebP",
    "bpg_444": "BPG 4:4:4",
    "vtm": "VTM",
    "hm": "HM",
    "av1": "AV1",
    "bmshj2018-hyperprior-mse": "Ballé 2018 (hyperprior)",
    "mbt2018-mse": "Minnen 2018 (context)",
    "irec2020-mse-actual": "iREC 2020, files",
    "irec2020-mse-ideal": "iREC 2020, ideal",
}
CLASSICAL = {"jpeg", "jpeg2000", "webp", "bpg_444", "vtm", "hm", "av1"}
_RC: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "svg.hashsalt": "irec",  # the same file from the same figures
}
# Distinct for colour-blind eyes and in grey (Okabe and Ito).
BLUE, VERMILION, GREEN, GREY = "#0072b2", "#d55e00", "#00875f", "#6e6e6e"


@contextlib.contextmanager
def figure(path: Path, size_inches: tuple[float, float], title: str) -> Iterator["Figure"]:
    """Lend an empty figure; it is written to `path` when its panels are drawn."""
    if path.suffix.lower() not in FORMATS:
        raise DataError(f"{path}: a plot's name ends in {', '.join(FORMATS)}")
    # A second to import. Without pyplot: no window, nothing global.
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_RC):
        drawing = Figure(figsize=size_inches, dpi=200, layout="constrained")
        yield drawing
        drawing.suptitle(title, fontsize=10)
        kind = path.suffix.removeprefix(".").lower()
        undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
        with unfinished(path) as temporary:
            drawing.savefig(temporary, format=kind, metadata=undated)


def last_visible(
    points: Sequence[tuple[float, float]], x_limit: float, y_limits: tuple[float, float]
) -> tuple[float, float] | None:
    """Where a curve, drawn as straight lines between points by rising x, leaves the plot.

    Returns:
        The last point with x and y within the limits, to a 500th of the curve; None if there is
        none.
    """
    xs, ys = np.array(points).T
    if xs[0] > x_limit:
        return None
    dense = np.linspace(xs[0], min(xs[-1], x_limit), 500)
    heights = np.interp(dense, xs, ys)
    visible = (heights >= y_limits[0]) & (heights <= y_limits[1])
    if not visible.any():
        return None
    last = int(np.flatnonzero(visible)[-1])
    return float(dense[last]), float(heights[last])


def continued(
    points: Sequence[tuple[float, float]], end: tuple[float, float], x_limit: float
) -> float:
    """Return the height at which a curve that ends at `end` would leave the plot at its right.

    Labels in the order of these heights have lines to them that do not cross.
    """
    if len(points) < 2 or end[0] < points[-1][0]:
        return end[1]
    (x_before, y_before), (x_last, y_last) = points[-2:]
    if x_last == x_before:
        return end[1]
    return y_last + (y_last - y_before) / (x_last - x_before) * (x_limit - x_last)


def spread(wanted: Sequence[float], gap: float, limits: tuple[float, float]) -> list[float]:
    """Move positions apart, as little as possible in the sense of least squares.

    Args:
        wanted: Positions in any order.
        gap: The least distance between two; made smaller where they would not fit.
        limits: The lowest and the highest position possible.

    Returns:
        The positions, in the order of `wanted`, which also is kept from low to high.
    """
    if not wanted:
        return []
    low, high = limits
    gap = min(gap, (high - low) / max(len(wanted) - 1, 1))
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    # Less the gaps below them, positions must rise: isotonic regression by pooling neighbours.
    pools: list[list[float]] = []
    for rank, i in enumerate(order):
        pools.append([wanted[i] - rank * gap])
        while len(pools) > 1 and np.mean(pools[-2]) > np.mean(pools[-1]):
            pools[-2:] = [pools[-2] + pools[-1]]
    level = [float(np.mean(pool)) for pool in pools for _ in pool]
    highest = high - (len(wanted) - 1) * gap
    placed = [0.0] * len(wanted)
    for rank, i in enumerate(order):
        placed[i] = min(max(level[rank], low), highest) + rank * gap
    return placed
