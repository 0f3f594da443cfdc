"""BD-rates of results against their own ideal and against published codecs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from irec.evaluation.bd_rate import BdRate, CurvesNotComparableError, bd_rate
from irec.evaluation.lossy_results import OperatingPoint
from irec.evaluation.rate_distortion import Curve, Measure, file_curve, ideal_curve

OWN_IDEAL = "own ideal"


@dataclass(frozen=True)
class Comparison:
    """BD-rates against one other curve; None where there is none.

    Attributes:
        against: name of the other curve; :data:`OWN_IDEAL` for the results' own.
        file_psnr: of the files, over PSNR.
        file_ms_ssim: of the files, over MS-SSIM in dB.
        ideal_psnr: of exact posterior samples.
        ideal_ms_ssim: of the same.
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
