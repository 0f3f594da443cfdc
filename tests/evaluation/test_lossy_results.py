import math

import pytest
from rich.console import Console

from irec.evaluation.lossy_results import as_decibels, lossy_totals, operating_points
from irec.evaluation.results import results_table
from tests.evaluation.rows import lossy_curve_rows, lossy_row


def test_means_are_of_images_and_not_of_pixels():
    """As published curves have it: a large image counts as much as a small one."""
    small = lossy_row("a", file_bits=200, psnr_db=30.0, ms_ssim=0.9)
    large = lossy_row("b", height=100, file_bits=6000, psnr_db=40.0, ms_ssim=0.98)
    (point,) = operating_points([small, large])
    assert point.n_images == 2
    assert point.file_bpp == pytest.approx((1.0 + 3.0) / 2)
    assert point.ideal_bpp == pytest.approx((0.8 + 0.08) / 2)
    assert point.overhead == pytest.approx(2.0 / 0.44 - 1)
    assert point.psnr_db == pytest.approx(35.0)
    assert point.ms_ssim == pytest.approx(0.94)
    assert point.ms_ssim_db == pytest.approx(-10 * math.log10(0.06))
    assert (point.encode_s, point.decode_s) == (1.5, 0.5)


def test_qualities_and_lambdas_are_points_of_their_own():
    rows = lossy_curve_rows()
    points = operating_points(rows[::-1])
    assert [point.quality for point in points] == [10.0, 30.0, 50.0, 70.0, 90.0]
    assert [point.n_images for point in points] == [2] * 5
    one_rate = [lossy_row("a", None, trade_off=0.03, file_bits=400), lossy_row("a", None)]
    assert [point.trade_off for point in operating_points(one_rate)] == [0.01, 0.03]


def test_a_point_with_an_image_too_small_for_ms_ssim_has_none():
    (point,) = operating_points([lossy_row("a"), lossy_row("b", ms_ssim=None)])
    assert point.ms_ssim is None
    assert point.ms_ssim_db is None
    assert point.ideal_ms_ssim == pytest.approx(0.999)


def test_nothing_sent_has_no_overhead_and_an_exact_image_infinite_psnr():
    (point,) = operating_points([lossy_row(ideal_bits=0.0, psnr_db=math.inf, ms_ssim=1.0)])
    assert point.overhead is None
    assert point.psnr_db == math.inf
    assert point.ms_ssim_db == math.inf


def test_totals_are_exact_sums_beside_means():
    rows = [lossy_row("a", file_bits=(1 << 53) + 1), lossy_row("b", file_bits=2)]
    summed = lossy_totals(rows)
    assert summed["file_bits"] == (1 << 53) + 3
    assert summed["ideal_bits"] == 320.0
    assert (summed["encode_s"], summed["decode_s"]) == (3.0, 1.0)
    assert (summed["n_rows"], summed["n_images"], summed["n_operating_points"]) == (2, 2, 1)
    assert summed["psnr_db"] == 30.0
    assert lossy_totals(lossy_curve_rows())["n_operating_points"] == 5


def test_the_table_has_a_row_per_image_and_a_mean_per_quality():
    console = Console(width=200, record=True)
    console.print(results_table(lossy_curve_rows()))
    lines = console.export_text().splitlines()
    means = [line for line in lines if "mean of 2" in line]
    assert len(means) == 5
    assert "25.00" in means[0]
    assert "37.00" in means[-1]
    assert len([line for line in lines if "20x10x3" in line]) == 10
    assert "+25.0%" in means[0]


def test_decibels():
    assert as_decibels(0.99) == pytest.approx(20.0)
    assert as_decibels(1.0) == math.inf
    assert as_decibels(None) is None
    # iREC's first published point: 0.885258 is 9.40 dB.
    assert as_decibels(0.885258) == pytest.approx(9.40, abs=0.005)
