import csv

import pytest

from irec.evaluation.results import write_results
from tests.commands.command_line import irec
from tests.evaluation.rows import lossy_curve_rows


@pytest.fixture
def results(tmp_path):
    write_results(tmp_path, lossy_curve_rows(), {}, {})
    return tmp_path / "results.json"


def curves_in(path):
    with path.open(newline="") as file:
        return {row["curve"] for row in csv.DictReader(file)}


def test_plot_and_figures_are_written(results, tmp_path):
    result = irec("plot", results, "-o", tmp_path / "new" / "rd.png")
    assert result.exit_code == 0, result.stderr
    assert "5 operating points" in result.stdout
    assert (tmp_path / "new" / "rd.png").read_bytes().startswith(b"\x89PNG")
    assert curves_in(tmp_path / "new" / "rd.csv") == {"irec, files", "irec, ideal"}


def test_published_curves_are_those_asked_for(results, tmp_path):
    assert irec("plot", results, "-o", tmp_path / "rd.svg", "--against", "hm,webp").exit_code == 0
    assert curves_in(tmp_path / "rd.csv") == {"irec, files", "irec, ideal", "hm", "webp"}


def test_nothing_is_overwritten_unasked(results, tmp_path):
    before = (tmp_path / "results.csv").read_bytes()
    result = irec("plot", results, "-o", tmp_path / "results.png")
    assert result.exit_code == 1
    assert "results.csv exists already" in result.stderr
    assert (tmp_path / "results.csv").read_bytes() == before
    assert irec("plot", results, "-o", tmp_path / "rd.png").exit_code == 0
    assert irec("plot", results, "-o", tmp_path / "rd.png").exit_code == 1
    assert irec("plot", results, "-o", tmp_path / "rd.png", "--force").exit_code == 0


def test_another_format_is_one_line(results, tmp_path):
    result = irec("plot", results, "-o", tmp_path / "rd.gif")
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    assert "ends in .png, .svg, .pdf" in result.stderr
    assert not (tmp_path / "rd.gif").exists()
    assert irec("plot", results).exit_code == 2
