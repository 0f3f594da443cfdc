import math

import pytest

from irec.errors import DataError
from irec.evaluation.lossy_results import operating_points
from irec.evaluation.rate_distortion import (
    KODAK_NAMES,
    OWN_IDEAL,
    Curve,
    compare,
    file_curve,
    ideal_curve,
    is_kodak,
    merged_points,
    published_curves,
)
from irec.evaluation.results import Results
from tests.evaluation.rows import lossless_row, lossy_curve_rows, lossy_row


def test_published_curves_are_those_of_the_readme():
    curves = published_curves()
    assert len(curves) == 35
    assert sum(len(curve.bpp) for curve in curves.values()) == 523
    for curve in curves.values():
        assert list(curve.bpp) == sorted(curve.bpp)
        assert all(0 < bpp < 24 for bpp in curve.bpp)
        assert all(15 < db < 70 for db in curve.psnr_db)
        assert all(value is None or 0.5 < value < 1 for value in curve.ms_ssim)
    assert curves["paper-elic2022-mse"].points("ms_ssim") == []
    assert curves["irec2020-mse-actual"].points("ms_ssim")[0] == pytest.approx(
        (0.092451, 9.40), abs=0.005
    )


def test_curves_hold_the_means_by_rising_rate():
    points = operating_points(lossy_curve_rows())
    file, ideal = file_curve(points[::-1]), ideal_curve(points[::-1])
    assert file.bpp == (0.5, 1.0, 2.0, 4.0, 8.0)
    assert ideal.bpp == pytest.approx((0.4, 0.8, 1.6, 3.2, 6.4))
    assert file.psnr_db == ideal.psnr_db == (25.0, 28.0, 31.0, 34.0, 37.0)
    assert file.points("ms_ssim")[0] == (0.5, pytest.approx(10.0))


def test_equal_points_without_ms_ssim_are_sorted_too():
    curve = Curve.of("x", [(1.0, 30.0, None), (1.0, 30.0, 0.9), (0.5, 20.0, None)])
    assert curve.bpp == (0.5, 1.0, 1.0)
    assert curve.points("ms_ssim") == [(1.0, pytest.approx(10.0))]


def test_the_coder_s_loss_is_the_bd_rate_against_the_own_ideal():
    points = operating_points(lossy_curve_rows())
    own, other = compare(points, {"same": file_curve(points)})
    assert own.against == OWN_IDEAL
    assert own.file_psnr.percent == pytest.approx(25.0)
    assert own.file_ms_ssim.percent == pytest.approx(25.0)
    assert own.ideal_psnr is None
    assert other.against == "same"
    assert other.file_psnr.percent == pytest.approx(0.0, abs=1e-9)
    assert other.ideal_psnr.percent == pytest.approx(-20.0)
    (alone,) = compare(points[:2], {})
    assert alone.file_psnr is None


def results(rows):
    return Results({}, list(rows), {})


def test_models_of_one_rate_make_one_curve():
    runs = [
        results(lossy_row(name, None, trade_off=trade_off, file_bits=bits) for name in "ab")
        for trade_off, bits in [(0.03, 400), (0.01, 200)]
    ]
    points = merged_points(runs)
    assert [(point.trade_off, point.file_bpp) for point in points] == [(0.01, 1.0), (0.03, 2.0)]


def test_points_of_different_images_are_not_merged():
    with pytest.raises(DataError, match=r"different images: at quality 50 there is no b"):
        merged_points([results(lossy_curve_rows()), results([lossy_row("a")])])
    rows = lossy_curve_rows()
    with pytest.raises(DataError, match=r"at quality 90 there is no b"):
        merged_points([results(rows[:-1])])
    with pytest.raises(DataError, match="need lossy results"):
        merged_points([results([lossless_row()])])


def test_kodak_is_known_by_its_names():
    assert is_kodak(f"some/folder/{name}.png" for name in KODAK_NAMES)
    assert is_kodak(KODAK_NAMES)
    assert not is_kodak(sorted(KODAK_NAMES)[:23])
    assert not is_kodak([*KODAK_NAMES, "astronaut"])


def test_infinite_quality_stays_in_the_curve_but_is_no_point():
    curve = file_curve(operating_points([lossy_row(psnr_db=math.inf)]))
    assert (curve.bpp, curve.psnr_db) == ((1.0,), (math.inf,))
    assert curve.points("psnr") == []
