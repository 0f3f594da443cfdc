"""How plots look: colours, names, and the page that they are drawn on."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irec.errors import DataError
from irec.files import unfinished

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = (".png", ".svg", ".pdf")
# What is shown of the published curves unless somebody names others.
DEFAULT_ANCHORS = (
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
    """An empty figure; written to `path` when its panels are drawn."""
    if path.suffix.lower() not in FORMATS:
        raise DataError(f"{path}: a plot's name ends in {', '.join(FORMATS)}")
    # A second to import. Without pyplot: no window, nothing global.
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_RC):
        drawing = Figure(figsize=size_inches, dpi=200, layout="constrained")
        FigureCanvasAgg(drawing)
        yield drawing
        drawing.suptitle(title, fontsize=10)
        dated = {".svg": "Date", ".pdf": "CreationDate"}.get(path.suffix.lower())
        with unfinished(path) as temporary:
            drawing.savefig(temporary, metadata={dated: None} if dated else None)
