import csv
import json
import math

import pytest
from rich.console import Console

from irec.errors import DataError
from irec.evaluation.results import (
    read_results,
    results_table,
    row_as_dict,
    row_from_dict,
    totals,
    write_results,
)
from tests.evaluation.rows import lossless_row as row
from tests.evaluation.rows import lossy_curve_rows, lossy_row


def test_totals_weight_images_by_their_size():
    summed = totals([row("a"), row("b", scale=3)])
    assert summed["n_images"] == 2
    assert summed["n_dims"] == 240
    assert summed["file_bits"] == 3200
    assert summed["file_bpd"] == pytest.approx(3200 / 240)
    assert summed["overhead"] == pytest.approx(3200 / 3000 - 1)
    assert summed["coder_loss"] == pytest.approx((4 * (104 + 656) - 3000) / 400)
    assert summed["encode_s"] == 3.0


def test_totals_stay_exact_where_floats_would_not():
    large = row(scale=(1 << 53) // 800 + 1)
    summed = totals([large, row("b")])
    assert summed["file_bits"] == large.file_bits + 800


def test_an_image_that_webp_cannot_hold_leaves_its_column_empty():
    summed = totals([row("a"), row("b", webp_bits=None)])
    assert summed["webp_bits"] is None
    assert summed["webp_bpd"] is None


def test_files_hold_what_the_table_shows(tmp_path):
    rows = [row("a"), row("inner/b", scale=2)]
    write_results(tmp_path, rows, {}, {})
    document = json.loads((tmp_path / "results.json").read_text())
    assert [image["name"] for image in document["images"]] == ["a", "inner/b"]
    assert document["total"]["file_bits"] == 2400
    with (tmp_path / "results.csv").open() as file:
        read = list(csv.DictReader(file))
    assert [int(one["file_bits"]) for one in read] == [800, 1600]
    console = Console(width=120, record=True)
    console.print(results_table(rows))
    text = console.export_text()
    assert "inner/b" in text
    assert f"{2400 / 180:.3f}" in text


def test_bits_of_a_row_are_those_of_the_sections():
    one = row()
    assert one.index_bits + one.side_bits + one.residual_bits == one.file_bits


def test_lossy_files_hold_rows_and_operating_points(tmp_path):
    rows = lossy_curve_rows()
    write_results(tmp_path, rows, {"effort": 5}, {"c": "too large"})
    document = json.loads((tmp_path / "results.json").read_text())
    assert document["settings"] == {"effort": 5}
    assert document["failed"] == {"c": "too large"}
    assert len(document["images"]) == 10
    assert [point["quality"] for point in document["operating_points"]] == [10, 30, 50, 70, 90]
    assert document["total"]["file_bits"] == sum(row.file_bits for row in rows)
    with (tmp_path / "results.csv").open() as file:
        read = list(csv.DictReader(file))
    assert [float(one["psnr_db"]) for one in read] == [row.psnr_db for row in rows]


@pytest.mark.parametrize(
    "rows",
    [
        [row("a"), row("b", webp_bits=None)],
        lossy_curve_rows(),
        [lossy_row("inf", None, ms_ssim=None, psnr_db=math.inf)],
    ],
    ids=["lossless", "lossy", "exact"],
)
def test_results_are_read_back_as_they_were(tmp_path, rows):
    write_results(tmp_path, rows, {"seed": 1}, {"c": "why"})
    text = (tmp_path / "results.json").read_text()
    json.loads(text, parse_constant=pytest.fail)  # strict JSON: no Infinity
    results = read_results(tmp_path / "results.json")
    assert results.rows == rows
    assert results.settings == {"seed": 1}
    assert results.failed == {"c": "why"}
    assert isinstance(results_table(results.rows).row_count, int)


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "not JSON"), ("[]", "not a results"), ('{"images": [{"name": "a"}]}', "not a results")],
)
def test_other_files_are_refused(tmp_path, text, message):
    path = tmp_path / "results.json"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_results(path)
    with pytest.raises(DataError, match="no such file"):
        read_results(tmp_path / "absent.json")


def test_kinds_are_told_apart_and_never_mixed():
    for one in (row(), lossy_row()):
        assert row_from_dict(row_as_dict(one)) == one
    assert lossy_row("a", 12.5).identity == ("a", 12.5)
    assert row("a").identity == ("a", None)
    with pytest.raises(DataError, match="together"):
        totals([row(), lossy_row()])
