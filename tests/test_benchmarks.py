"""Scripts that nobody runs from day to day still fit the library."""

import csv
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.pictures import picture

SCRIPTS = sorted((Path(__file__).parent.parent / "benchmarks").glob("*.py"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_what_a_script_imports_is_there(path):
    assert callable(runpy.run_path(str(path), run_name="imported")["main"])


def test_the_published_grid_is_measured_drawn_and_gone_on_with(
    tmp_path, tiny_checkpoint, monkeypatch, capsys
):
    np.save(tmp_path / "images.npy", np.stack([picture(8, 8, 3)]))
    measured = []
    # At one beam a step has 7, 9, 11 and 20 candidates at Omega 2, more at others.
    for most in (9, 11):
        options = {"images": tmp_path / "images.npy", "checkpoint": tiny_checkpoint, "beams": 1}
        options |= {"max-candidates": most, "out": tmp_path / "grid"}
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        monkeypatch.setattr(sys, "argv", ["published_grid.py", *words])
        runpy.run_path(str(SCRIPTS[0].with_name("published_grid.py")), run_name="__main__")
        measured.append(capsys.readouterr().out.count("overhead"))
    assert measured == [2, 1]
    with (tmp_path / "grid.csv").open(newline="") as file:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    assert [row["extra_samples"] for row in rows] == [1.0, 1.1, 1.2]
    assert all(row["omega"] == 2.0 and row["encode_s"] > 0.0 for row in rows)


def test_heat_maps_show_what_was_measured_and_stay_white_elsewhere(tmp_path):
    draw = runpy.run_path(str(SCRIPTS[0].with_name("published_grid.py")), run_name="imported")[
        "_draw"
    ]
    point = {"n_beams": 10.0, "omega": 3.0, "extra_samples": 1.2}
    shares = []
    for n_more in (0, 3):
        rows = [point | {"overhead": 0.05, "encode_s": 3.0}]
        for omega in (4.0, 5.0, 6.0)[:n_more]:
            rows.append({**rows[0], "omega": omega, "overhead": 0.5, "encode_s": 60.0})
        draw(rows, tmp_path / "grid.png")
        with Image.open(tmp_path / "grid.png") as drawn:
            pixels = np.asarray(drawn.convert("RGB")).astype(int)
        # Viridis has no grey: white, black and what lies between are paper and letters.
        shares.append((np.ptp(pixels, axis=-1) > 40).mean())
    assert shares[1] == pytest.approx(4 * shares[0], rel=0.1)
