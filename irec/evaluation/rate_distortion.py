"""Rate-distortion curves, of results and published for other codecs, and BD-rates between them."""

import csv
import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from irec.errors import DataError, IrecError
from irec.evaluation.lossy_results import OperatingPoint, as_decibels, by_point, operating_points
from irec.evaluation.results import Results, lossy_rows

Measure = Literal["psnr", "ms_ssim"]
# (Bits per pixel, dB).
Points = Sequence[tuple[float, float]]
KODAK_NAMES = frozenset(f"kodim{number:02d}" for number in range(1, 25))
_PUBLISHED = Path(__file__).parent / "published"


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
        """(bpp, dB) of the points of finite quality; MS-SSIM as -10 log10(1 - MS-SSIM)."""
        decibels = self.psnr_db if measure == "psnr" else map(as_decibels, self.ms_ssim)
        pairs = zip(self.bpp, decibels, strict=True)
        return [(bpp, db) for bpp, db in pairs if db is not None and math.isfinite(db)]


def file_curve(points: Sequence[OperatingPoint]) -> Curve:
    """Return what the files take and what they decode to."""
    return Curve.of("irec, files", [(p.file_bpp, p.psnr_db, p.ms_ssim) for p in points])


def ideal_curve(points: Sequence[OperatingPoint]) -> Curve:
    """Return what exact posterior samples would take, at KL bits, and what they decode to."""
    return Curve.of(
        "irec, ideal", [(p.ideal_bpp, p.ideal_psnr_db, p.ideal_ms_ssim) for p in points]
    )


def merged_points(results: Sequence[Results]) -> list[OperatingPoint]:
    """Merge operating points of several runs, such as of several models of one quality each.

    Raises:
        DataError: A run holds no lossy results, or the points are not all of the same images.
    """
    runs = [lossy_rows(one.rows) for one in results]
    if not all(runs):
        raise DataError("rate-distortion curves need lossy results, and there are none")
    names = {row.name for rows in runs for row in rows}
    for rows in runs:
        for of_point in by_point(rows):
            if absent := sorted(names - {row.name for row in of_point}):
                quality, trade_off = of_point[0].quality, of_point[0].trade_off
                at = f"lambda {trade_off:g}" if quality is None else f"quality {quality:g}"
                raise DataError(
                    f"the operating points are of different images: at {at} there is no {absent[0]}"
                )
    points = [point for rows in runs for point in operating_points(rows)]
    return sorted(points, key=lambda point: point.file_bpp)


def is_kodak(names: Iterable[str]) -> bool:
    """Whether images are the 24 of Kodak, by their names without folder and suffix."""
    return {Path(name).stem.lower() for name in names} == KODAK_NAMES


def chosen_curves(names: Sequence[str]) -> list[Curve]:
    """Curves out of :func:`published_curves`.

    Raises:
        DataError: A name is unknown.
    """
    curves = published_curves()
    for name in names:
        if name not in curves:
            close = difflib.get_close_matches(name, curves, n=3) or sorted(curves)
            raise DataError(f"no published curve is called {name!r}; there is {', '.join(close)}")
    return [curves[name] for name in names]


@cache
def published_curves() -> dict[str, Curve]:
    """Read published curves of other codecs by their names: means over the 24 Kodak images."""
    points: dict[str, list[tuple[float, float, float | None]]] = {}
    for row in published("kodak.csv"):
        ms_ssim = float(row["ms_ssim"]) if row["ms_ssim"] else None
        point = (float(row["bpp"]), float(row["psnr_rgb_db"]), ms_ssim)
        points.setdefault(row["codec"], []).append(point)
    return {name: Curve.of(name, its_points) for name, its_points in points.items()}


def published(name: str) -> list[dict[str, str]]:
    """Read a table of published figures; published/README.md says what they are."""
    with (_PUBLISHED / name).open(newline="") as file:
        return list(csv.DictReader(file))


# As many as Bjontegaard's cubic needs and his successors ask for. Interpolation would do with
# two, but its shape between so few points says more about itself than about the codec.
MIN_POINTS = 4
OWN_IDEAL = "own ideal"


class CurvesNotComparableError(IrecError):
    """Two curves have no Bjontegaard delta rate: too few points, or no quality in common."""


@dataclass(frozen=True)
class BdRate:
    """A mean difference in rate.

    Attributes:
        percent: Additional bits of the curve over those of the other; negative is better.
        from_db: The lowest quality that both curves reach.
        to_db: The highest.
    """

    percent: float
    from_db: float
    to_db: float


def bd_rate(curve: Points, other: Points) -> BdRate:
    """Bjontegaard delta rate of `curve` against `other` (VCEG-M33).

    Natural logarithms of rates are interpolated over quality with monotone piecewise cubics
    (PCHIP, Fritsch and Butland 1984, as JVET does) rather than M33's one cubic, and averaged over
    the qualities that both curves reach; nothing is extrapolated.

    The sign is that of the curve: +20 means that it takes 20 % more bits than the other, -51 that
    it takes 51 % fewer. The other way round these are -17 and +105, not -20 and +51.

    Args:
        curve: (bpp, quality in dB), in any order. Points without rate or of infinite quality have
            no place on logarithmic scales and are left out; of equal qualities the cheapest counts.
        other: What the curve is compared with.

    Raises:
        CurvesNotComparableError: A curve has fewer than 4 such points, or the curves do not
            overlap.
    """
    # Half a second to import.
    from scipy.interpolate import PchipInterpolator

    curve_db, curve_rate = _sorted_columns(curve)
    other_db, other_rate = _sorted_columns(other)
    low, high = max(curve_db[0], other_db[0]), min(curve_db[-1], other_db[-1])
    if low >= high:
        raise CurvesNotComparableError(
            f"the curves have no quality in common: {curve_db[0]:.2f} to {curve_db[-1]:.2f} dB "
            f"against {other_db[0]:.2f} to {other_db[-1]:.2f} dB"
        )
    area = PchipInterpolator(curve_db, curve_rate).integrate(low, high)
    other_area = PchipInterpolator(other_db, other_rate).integrate(low, high)
    mean_log_ratio = float(area - other_area) / (high - low)
    return BdRate(100.0 * math.expm1(mean_log_ratio), low, high)


def _sorted_columns(curve: Points) -> tuple[list[float], list[float]]:
    """Qualities, strictly rising, and the logarithms of the rates."""
    cheapest: dict[float, float] = {}
    for bpp, db in curve:
        if bpp > 0.0 and math.isfinite(db):
            cheapest[db] = min(bpp, cheapest.get(db, bpp))
    if len(cheapest) < MIN_POINTS:
        raise CurvesNotComparableError(
            f"a BD-rate needs {MIN_POINTS} operating points or more, not {len(cheapest)}"
        )
    qualities = sorted(cheapest)
    return qualities, [math.log(cheapest[db]) for db in qualities]


@dataclass(frozen=True)
class Comparison:
    """BD-rates against one other curve; None where there is none.

    Attributes:
        against: Name of the other curve; :data:`OWN_IDEAL` for the results' own.
        file_psnr: Of the files, over PSNR.
        file_ms_ssim: Of the files, over MS-SSIM in dB.
        ideal_psnr: Of exact posterior samples.
        ideal_ms_ssim: Of the same.
    """

    against: str
    file_psnr: BdRate | None
    file_ms_ssim: BdRate | None
    ideal_psnr: BdRate | None
    ideal_ms_ssim: BdRate | None


def compare(points: Sequence[OperatingPoint], others: Mapping[str, Curve]) -> list[Comparison]:
    """Compare with the ideal first and then with each of the others, in their order."""
    file, ideal = file_curve(points), ideal_curve(points)
    own = Comparison(OWN_IDEAL, *_bd_rates(file, ideal), None, None)
    return [own] + [
        Comparison(name, *_bd_rates(file, other), *_bd_rates(ideal, other))
        for name, other in others.items()
    ]


def _bd_rates(curve: Curve, other: Curve) -> tuple[BdRate | None, BdRate | None]:
    """Over PSNR, and over MS-SSIM."""

    def over(measure: Measure) -> BdRate | None:
        try:
            return bd_rate(curve.points(measure), other.points(measure))
        except CurvesNotComparableError:
            return None

    return over("psnr"), over("ms_ssim")
