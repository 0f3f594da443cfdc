import math

import pytest

from irec.evaluation.rate_distortion import CurvesNotComparableError, bd_rate, published_curves


def published(curve, other, measure="psnr"):
    curves = published_curves()
    return bd_rate(curves[curve].points(measure), curves[other].points(measure))


def test_published_files_against_their_ideal():
    rate = published("irec2020-mse-actual", "irec2020-mse-ideal")
    assert rate.percent == pytest.approx(32.5, abs=0.05)
    assert (rate.from_db, rate.to_db) == (27.02673, 35.59443)


@pytest.mark.parametrize(
    ("other", "of_files", "of_ideal"),
    [
        ("jpeg", -51, None),
        ("webp", -14, None),
        ("bmshj2018-hyperprior-mse", 20, -8),
        ("bpg_444", 27, -3),
        ("mbt2018-mse", 46, 11),
        ("vtm", 66, None),
    ],
)
def test_published_figures_and_their_sign(other, of_files, of_ideal):
    """iREC is the curve, the codec the other: iREC takes 51 % fewer bits than JPEG."""
    assert published("irec2020-mse-actual", other).percent == pytest.approx(of_files, abs=0.55)
    if of_ideal is not None:
        assert published("irec2020-mse-ideal", other).percent == pytest.approx(of_ideal, abs=0.55)


def test_the_other_way_round_is_the_reciprocal():
    there = published("irec2020-mse-actual", "jpeg").percent
    back = published("jpeg", "irec2020-mse-actual").percent
    assert (1 + there / 100) * (1 + back / 100) == pytest.approx(1.0)
    assert back == pytest.approx(105.3, abs=0.1)


@pytest.mark.parametrize("measure", ["psnr", "ms_ssim"])
def test_a_curve_shifted_in_rate_differs_by_the_shift(measure):
    points = published_curves()["webp"].points(measure)
    for factor in (0.5, 1.0, 1.25):
        shifted = [(factor * bpp, db) for bpp, db in points]
        assert bd_rate(shifted[::-1], points).percent == pytest.approx(100 * (factor - 1), abs=1e-9)


def test_known_areas_under_straight_lines():
    """log rate = dB/10 against dB/10 + dB/100: the mean difference over 30..40 dB is 0.35."""
    other = [(math.exp(db / 10), db) for db in (20.0, 25.0, 30.0, 35.0, 40.0)]
    curve = [(math.exp(db / 10 + db / 100), db) for db in (30.0, 36.0, 42.0, 50.0)]
    rate = bd_rate(curve, other)
    assert (rate.from_db, rate.to_db) == (30.0, 40.0)
    assert rate.percent == pytest.approx(100 * math.expm1(0.35), rel=1e-9)


def test_points_off_the_scales_and_dear_ones_are_left_out():
    curve = [(0.1, 25.0), (0.2, 28.0), (0.4, 31.0), (0.8, 34.0)]
    with_others = [*curve, (0.0, 20.0), (3.0, math.inf)]
    other = [(2 * bpp, db) for bpp, db in curve]
    assert bd_rate(with_others, other) == bd_rate(curve, other)
    assert bd_rate([(0.9, 34.0), *curve, (0.5, 31.0)], other) == bd_rate(curve, other)


def test_what_cannot_be_compared_says_why():
    curve = [(0.1, 25.0), (0.2, 28.0), (0.4, 31.0), (0.8, 34.0)]
    with pytest.raises(CurvesNotComparableError, match="needs 4 operating points or more, not 3"):
        bd_rate(curve[:3], curve)
    with pytest.raises(CurvesNotComparableError, match=r"34\.00 dB against 34\.00 to"):
        bd_rate(curve, [(bpp, db + 9.0) for bpp, db in curve])
