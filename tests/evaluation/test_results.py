import csv
import json

import pytest
from rich.console import Console

from irec.evaluation.results import ImageResult, results_table, totals, write_results


def row(name="a", webp_bits=900, scale=1):
    return ImageResult(
        name=name,
        height=4,
        width=5 * scale,
        channels=3,
        file_bits=800 * scale,
        ideal_bits=750.0 * scale,
        kl_bits=100.0 * scale,
        index_bits=104 * scale,
        side_bits=40 * scale,
        residual_bits=656 * scale,
        encode_s=1.5,
        decode_s=0.5,
        png_bits=1000 * scale,
        webp_bits=webp_bits,
    )


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
    write_results(tmp_path, rows)
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
