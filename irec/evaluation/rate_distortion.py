"""Rate-distortion curves: of results, and those published for other codecs."""

import csv
import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from irec.errors import DataError
from irec.evaluation.lossy_results import LossyResult, OperatingPoint, as_decibels, operating_points
from irec.evaluation.results import Results

Measure = Literal["psnr", "ms_ssim"]
KODAK_NAMES = frozenset(f"kodim{number:02d}" for number in range(1, 25))
_ANCHORS = Path(__file__).parent / "anchors" / "kodak.csv"


@dataclass(frozen=True)
class Curve:
    """Operating points of one codec, by rising rate.

    Attributes:
        label: What it is called.
        bpp: Bits per pixel.
        psnr_db: dB.
        ms_ssim: 0 to 1; None where it is not known.
    """

    label: str
    bpp: tuple[float, ...]
    psnr_db: tuple[float, ...]
    ms_ssim: tuple[float | None, ...]

    @classmethod
    def of(cls, label: str, points: Iterable[tuple[float, float, float | None]]) -> "Curve":
        """Sort (bpp, PSNR in dB, MS-SSIM) by bpp; there must be at least one."""
        bpp, psnr_db, ms_ssim = zip(*sorted(points, key=lambda point: point[:2]), strict=True)
        return cls(label, bpp, psnr_db, ms_ssim)

    def points(self, measure: Measure) -> list[tuple[float, float]]:
        """(bpp, dB) of the points that have the measure; MS-SSIM as -10 log10(1 - MS-SSIM)."""
        if measure == "psnr":
            return list(zip(self.bpp, self.psnr_db, strict=True))
        decibels = [as_decibels(value) for value in self.ms_ssim]
        pairs = zip(self.bpp, decibels, strict=True)
        return [(bpp, value) for bpp, value in pairs if value is not None]


def file_curve(points: Sequence[OperatingPoint], label: str = "irec, files") -> Curve:
    """Return what the files take and what they decode to."""
    return Curve.of(label, [(p.file_bpp, p.psnr_db, p.ms_ssim) for p in points])


def ideal_curve(points: Sequence[OperatingPoint], label: str = "irec, ideal") -> Curve:
    """Return what exact posterior samples would take, at KL bits, and what they decode to."""
    return Curve.of(label, [(p.ideal_bpp, p.ideal_psnr_db, p.ideal_ms_ssim) for p in points])


def merged_points(results: Sequence[Results]) -> list[OperatingPoint]:
    """Merge operating points of several runs, such as of several models of one quality each.

    Raises:
        DataError: A run holds no lossy results, or the points are not all of the same images.
    """
    rows = [lossy_rows(one) for one in results]
    names = {row.name for part in rows for row in part}
    for part in rows:
        by_point: dict[tuple[float | None, float], set[str]] = {}
        for row in part:
            by_point.setdefault((row.quality, row.trade_off), set()).add(row.name)
        for (quality, trade_off), present in by_point.items():
            if absent := sorted(names - present):
                at = f"lambda {trade_off:g}" if quality is None else f"quality {quality:g}"
                raise DataError(
                    f"the operating points are of different images: at {at} there is no {absent[0]}"
                )
    points = [point for part in rows for point in operating_points(part)]
    return sorted(points, key=lambda point: point.file_bpp)


def lossy_rows(results: Results) -> list[LossyResult]:
    """Return the rows of a run.

    Raises:
        DataError: There are none, or they are lossless.
    """
    rows = [row for row in results.rows if isinstance(row, LossyResult)]
    if not rows:
        raise DataError("rate-distortion curves need lossy results, and there are none")
    return rows


def is_kodak(names: Iterable[str]) -> bool:
    """Whether images are the 24 of Kodak, by their names without folder and suffix."""
    return {Path(name).stem.lower() for name in names} == KODAK_NAMES


def chosen_anchors(names: Sequence[str]) -> list[Curve]:
    """Curves out of :func:`kodak_anchors`.

    Raises:
        DataError: A name is unknown.
    """
    anchors = kodak_anchors()
    for name in names:
        if name not in anchors:
            close = difflib.get_close_matches(name, anchors, n=3) or sorted(anchors)
            raise DataError(f"no published curve is called {name!r}; there is {', '.join(close)}")
    return [anchors[name] for name in names]


@cache
def kodak_anchors() -> dict[str, Curve]:
    """Read published curves of other codecs by their names: means over the 24 Kodak images.

    anchors/README.md says what they are.
    """
    points: dict[str, list[tuple[float, float, float | None]]] = {}
    with _ANCHORS.open(newline="") as file:
        for row in csv.DictReader(file):
            ms_ssim = float(row["ms_ssim"]) if row["ms_ssim"] else None
            point = (float(row["bpp"]), float(row["psnr_rgb_db"]), ms_ssim)
            points.setdefault(row["codec"], []).append(point)
    return {name: Curve.of(name, its_points) for name, its_points in points.items()}
