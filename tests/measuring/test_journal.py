import pytest

from irec.measuring.journal import Journal
from tests.evaluation.rows import lossless_row, lossy_row
from tests.pictures import noise

PIXELS = noise(4, 5, 3)
SETTINGS = {"effort": 5}


def test_rows_of_both_kinds_come_back(tmp_path):
    rows = [lossless_row("a"), lossy_row("b", 10.0), lossy_row("b", 90.5), lossy_row("b", None)]
    journal = Journal(tmp_path, SETTINGS)
    for row in rows:
        journal.add(row, PIXELS, f"{row.identity}".encode())
    reopened = Journal(tmp_path, SETTINGS)
    for row in rows:
        data = f"{row.identity}".encode()
        assert reopened.find(row.name, PIXELS, data, row.identity[1]) == row
        assert reopened.find(row.name, PIXELS, b"other file", row.identity[1]) is None
        assert reopened.find(row.name, 255 - PIXELS, data, row.identity[1]) is None
    assert reopened.find("b", PIXELS, b"", 50.0) is None


def test_an_infinite_psnr_survives(tmp_path):
    row = lossy_row(psnr_db=float("inf"))
    Journal(tmp_path, SETTINGS).add(row, PIXELS, b"x")
    assert Journal(tmp_path, SETTINGS).find("a", PIXELS, b"x", 50.0) == row


def test_lines_of_other_settings_and_torn_lines_do_not_count(tmp_path):
    journal = Journal(tmp_path, SETTINGS)
    journal.add(lossy_row(), PIXELS, b"x")
    assert Journal(tmp_path, {"effort": 9}).find("a", PIXELS, b"x", 50.0) is None
    text = journal.own.read_text()
    for torn in (text[:40], text.replace("psnr_db", "psnr")):
        journal.own.write_text(torn)
        assert Journal(tmp_path, SETTINGS).find("a", PIXELS, b"x", 50.0) is None
    journal.add(lossy_row(), PIXELS, b"x")
    assert Journal(tmp_path, SETTINGS).find("a", PIXELS, b"x", 50.0) == lossy_row()


@pytest.mark.parametrize("rank", [0, 3])
def test_closing_removes_the_files_of_all_ranks(tmp_path, rank):
    Journal(tmp_path, SETTINGS, rank).add(lossy_row(), PIXELS, b"x")
    Journal(tmp_path, SETTINGS).close()
    assert not list(tmp_path.iterdir())
