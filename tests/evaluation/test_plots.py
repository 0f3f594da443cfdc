import csv
import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from irec.errors import DataError
from irec.evaluation.lossy_results import operating_points
from irec.evaluation.plot_style import LABELS, USUAL_CURVES, continued, last_visible, spread
from irec.evaluation.plots import plot_progressive, plot_rate_distortion, write_rate_distortion
from irec.evaluation.rate_distortion import KODAK_NAMES, chosen_curves, published_curves
from tests.evaluation.rows import lossless_row, lossy_curve_rows, lossy_row


def read_csv(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def points_and_images(**changes):
    rows = [replace(row, **changes) for row in lossy_curve_rows()]
    return operating_points(rows), {row.name for row in rows}


SIGNATURES = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}


@pytest.mark.parametrize("suffix", SIGNATURES)
def test_every_format_is_written_with_its_figures_and_the_same_twice(tmp_path, suffix):
    others = chosen_curves(["jpeg", "vtm"])
    for name in ("a", "b"):
        plot_rate_distortion(tmp_path / f"{name}{suffix}", *points_and_images(), others)
    data = (tmp_path / f"a{suffix}").read_bytes()
    assert data.startswith(SIGNATURES[suffix])
    assert data == (tmp_path / f"b{suffix}").read_bytes()
    rows = read_csv(tmp_path / "a.csv")
    assert {row["curve"] for row in rows} == {"irec, files", "irec, ideal", "jpeg", "vtm"}
    first = rows[0]
    assert (first["bpp"], first["psnr_db"]) == ("0.5", "25.0")
    assert float(first["ms_ssim_db"]) == pytest.approx(10.0)


def test_labels_and_both_panels_are_in_the_plot(tmp_path):
    plot_rate_distortion(tmp_path / "a.svg", *points_and_images(), chosen_curves(["vtm"]))
    text = (tmp_path / "a.svg").read_text()
    title = "Mean of 2 images"
    for label in ("irec, files", "irec, ideal", "VTM", "PSNR (dB)", "MS-SSIM (dB)", title):
        assert f"<!-- {label} -->" in text, label
    plot_rate_distortion(tmp_path / "small.svg", *points_and_images(ms_ssim=None))
    assert "PSNR (dB)" in (tmp_path / "small.svg").read_text()
    assert "MS-SSIM" not in (tmp_path / "small.svg").read_text()


def test_usual_curves_exist_and_have_names():
    assert set(USUAL_CURVES) <= set(published_curves())
    assert set(USUAL_CURVES) <= set(LABELS)
    with pytest.raises(DataError, match=r"'bpg444'; there is .*bpg_444"):
        chosen_curves(["bpg444"])


def test_predict_s_plot_shows_published_curves_on_kodak_only(tmp_path):
    write_rate_distortion(tmp_path, lossy_curve_rows())
    with Image.open(tmp_path / "rate_distortion.png") as image:
        pixels = np.array(image.convert("RGB"))
    assert (pixels == (0x00, 0x72, 0xB2)).all(axis=2).sum() > 1000  # the own curves' blue
    names = {row["curve"] for row in read_csv(tmp_path / "rate_distortion.csv")}
    assert names == {"irec, files", "irec, ideal"}
    write_rate_distortion(tmp_path, lossy_curve_rows([f"{name}.png" for name in KODAK_NAMES]))
    names = {row["curve"] for row in read_csv(tmp_path / "rate_distortion.csv")}
    assert names == {"irec, files", "irec, ideal", *USUAL_CURVES}


@pytest.mark.parametrize("rows", [[], [lossless_row()], [lossy_row("a"), lossy_row("b")]])
def test_predict_plots_nothing_of_fewer_than_two_points(tmp_path, rows):
    write_rate_distortion(tmp_path, rows)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("changes", [{"psnr_db": math.inf, "ms_ssim": 1.0}, {"ideal_bits": 0.0}])
def test_exact_images_and_rates_of_zero_are_plotted_as_far_as_they_go(tmp_path, changes):
    rows = [lossy_row("a", 10.0), lossy_row("a", 20.0, file_bits=400, **changes)]
    write_rate_distortion(tmp_path, rows)
    write_rate_distortion(tmp_path, [lossy_row("a", q, **changes) for q in (10.0, 20.0)])
    assert (tmp_path / "rate_distortion.png").stat().st_size > 1000


def test_other_formats_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"ends in \.png, \.svg, \.pdf"):
        plot_rate_distortion(tmp_path / "a.bmp", *points_and_images())


def test_progressive_plot(tmp_path):
    points = [(3000, 30.0), (0, 12.0), (800, 25.0), (3100, math.inf)]
    plot_progressive(tmp_path / "p.svg", points, 3100, "kodim01")
    assert "<!-- whole file: 3,100 bytes -->" in (tmp_path / "p.svg").read_text()
    rows = read_csv(tmp_path / "p.csv")
    assert [row["bytes_received"] for row in rows] == ["0", "800", "3000", "3100"]
    assert float(rows[-1]["psnr_db"]) == math.inf


@given(
    st.lists(st.floats(0, 10), max_size=12),
    st.floats(0.01, 3),
)
def test_labels_stay_apart_in_order_and_within_the_plot(wanted, gap):
    placed = spread(wanted, gap, (0.0, 10.0))
    assert len(placed) == len(wanted)
    assert all(-1e-9 <= one <= 10 + 1e-9 for one in placed)
    least = min(gap, 10 / max(1, len(wanted) - 1))
    assert all(b - a >= least - 1e-9 for a, b in pairwise(sorted(placed)))
    by_wish = [placed[i] for i in sorted(range(len(wanted)), key=lambda i: wanted[i])]
    assert by_wish == sorted(by_wish)


def test_labels_that_do_not_collide_stay_where_they_are():
    assert spread([5.0, 1.0, 9.0], 2.0, (0.0, 10.0)) == pytest.approx([5.0, 1.0, 9.0])
    assert spread([5.0, 5.0], 2.0, (0.0, 10.0)) == pytest.approx([4.0, 6.0])


def test_where_curves_leave_the_plot():
    line = [(1.0, 10.0), (3.0, 30.0)]
    assert last_visible(line, 5.0, (0.0, 100.0)) == (3.0, 30.0)
    assert last_visible(line, 2.0, (0.0, 100.0)) == (2.0, 20.0)
    assert last_visible(line, 5.0, (0.0, 15.0)) == pytest.approx((1.5, 15.0), abs=0.1)
    assert last_visible(line, 0.5, (0.0, 100.0)) is None
    assert last_visible(line, 5.0, (50.0, 100.0)) is None
    assert continued(line, (3.0, 30.0), 5.0) == pytest.approx(50.0)
    assert continued(line, (2.0, 20.0), 5.0) == 20.0
