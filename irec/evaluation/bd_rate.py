"""Bjontegaard delta rate: how many more bits one codec takes than another for the same quality."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from irec.errors import IrecError
from irec.evaluation.lossy_results import OperatingPoint
from irec.evaluation.rate_distortion import Curve, Measure, file_curve, ideal_curve

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
        percent: Additional bits of the curve over those of the anchor; negative is better.
        from_db: The lowest quality that both curves reach.
        to_db: The highest.
    """

    percent: float
    from_db: float
    to_db: float


def bd_rate(curve: Sequence[tuple[float, float]], anchor: Sequence[tuple[float, float]]) -> BdRate:
    """Bjontegaard delta rate of `curve` against `anchor` (VCEG-M33).

    Natural logarithms of rates are interpolated over quality with monotone piecewise cubics
    (PCHIP, Fritsch and Butland 1984, as JVET does) rather than M33's one cubic, and averaged over
    the qualities that both curves reach; nothing is extrapolated.

    The sign is that of the curve: +20 means that it takes 20 % more bits than the anchor, -51 that
    it takes 51 % fewer. The other way round these are -17 and +105, not -20 and +51.

    Args:
        curve: (bpp, quality in dB), in any order. Points without rate or of infinite quality have
            no place on logarithmic scales and are left out; of equal qualities the cheapest counts.
        anchor: What the curve is compared with.

    Raises:
        CurvesNotComparableError: A curve has fewer than 4 such points, or the curves do not
            overlap.
    """
    # Half a second to import.
    from scipy.interpolate import PchipInterpolator

    curve_db, curve_rate = _sorted_columns(curve)
    anchor_db, anchor_rate = _sorted_columns(anchor)
    low, high = max(curve_db[0], anchor_db[0]), min(curve_db[-1], anchor_db[-1])
    if low >= high:
        raise CurvesNotComparableError(
            f"the curves have no quality in common: {curve_db[0]:.2f} to {curve_db[-1]:.2f} dB "
            f"against {anchor_db[0]:.2f} to {anchor_db[-1]:.2f} dB"
        )
    area = PchipInterpolator(curve_db, curve_rate).integrate(low, high)
    anchor_area = PchipInterpolator(anchor_db, anchor_rate).integrate(low, high)
    mean_log_ratio = float(area - anchor_area) / (high - low)
    return BdRate(100.0 * math.expm1(mean_log_ratio), low, high)


def _sorted_columns(curve: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
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


def compare(points: Sequence[OperatingPoint], anchors: Mapping[str, Curve]) -> list[Comparison]:
    """Compare with the ideal first and then with each anchor, in the order of its mapping."""
    file, ideal = file_curve(points), ideal_curve(points)
    own = Comparison(
        OWN_IDEAL, _bd_rate(file, ideal, "psnr"), _bd_rate(file, ideal, "ms_ssim"), None, None
    )
    return [own] + [
        Comparison(
            name,
            _bd_rate(file, anchor, "psnr"),
            _bd_rate(file, anchor, "ms_ssim"),
            _bd_rate(ideal, anchor, "psnr"),
            _bd_rate(ideal, anchor, "ms_ssim"),
        )
        for name, anchor in anchors.items()
    ]


def _bd_rate(curve: Curve, anchor: Curve, measure: Measure) -> BdRate | None:
    try:
        return bd_rate(curve.points(measure), anchor.points(measure))
    except CurvesNotComparableError:
        return None
