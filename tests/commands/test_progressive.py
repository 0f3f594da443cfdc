import csv
import os

import numpy as np
import pytest
from PIL import Image

from irec.codec import LossyCodec, decompress
from irec.images import psnr_db, read_image
from tests.commands.command_line import assert_one_line
from tests.pictures import picture


def rows_of(path):
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [(int(row["bytes_received"]), float(row["psnr_db"])) for row in rows]


def test_plot_and_figures_of_ever_longer_beginnings(
    run_lossy, photo, lossy_file, tiny_lossy_checkpoint, tmp_path
):
    out = tmp_path / "new" / "curve.png"
    result = run_lossy("progressive", lossy_file, photo, "-o", out, "--points", 6)
    assert result.exit_code == 0, result.stderr
    assert out.read_bytes().startswith(b"\x89PNG")
    rows, data = rows_of(out.with_suffix(".csv")), lossy_file.read_bytes()
    lengths = [length for length, _ in rows]
    assert lengths == sorted(set(lengths))
    assert len(rows) == 6
    assert lengths[-1] == len(data)
    for length, psnr in rows:
        part = decompress(
            data[:length], allow_truncated=True, checkpoint=str(tiny_lossy_checkpoint)
        )
        assert psnr == pytest.approx(psnr_db(read_image(photo), part))
        assert f"{psnr:.2f}" in result.stdout
    assert f"6 points -> {out} and curve.csv" in result.stdout


def test_alpha_which_is_exact_does_not_count(run_lossy, tmp_path, tiny_lossy_checkpoint):
    pixels = picture(80, 60, 4)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert run_lossy("compress", tmp_path / "a.png").exit_code == 0
    given = (tmp_path / "a.irec", tmp_path / "a.png", "-o", tmp_path / "p.png", "--points", 2)
    assert run_lossy("progressive", *given).exit_code == 0
    data = (tmp_path / "a.irec").read_bytes()
    decoded = decompress(data, checkpoint=str(tiny_lossy_checkpoint))
    expected = psnr_db(pixels[..., :3], decoded[..., :3])
    assert rows_of(tmp_path / "p.csv")[-1][1] == pytest.approx(expected)


def test_a_tiny_file_has_no_more_points_than_bytes(run_lossy, tmp_path):
    Image.fromarray(np.full((1, 1, 3), 90, np.uint8)).save(tmp_path / "dot.png")
    run_lossy("compress", tmp_path / "dot.png", "--quality", 0)
    given = (tmp_path / "dot.irec", tmp_path / "dot.png", "-o", tmp_path / "p.svg")
    result = run_lossy("progressive", *given, "--points", 500)
    assert result.exit_code == 0, result.stderr
    lengths = [length for length, _ in rows_of(tmp_path / "p.csv")]
    assert lengths == list(range(lengths[0], (tmp_path / "dot.irec").stat().st_size + 1))


def test_existing_output_is_kept_unless_forced(run_lossy, photo, lossy_file, tmp_path):
    (tmp_path / "p.csv").write_text("precious")
    given = (lossy_file, photo, "-o", tmp_path / "p.png", "--points", 2)
    result = run_lossy("progressive", *given)
    assert result.exit_code == 1
    assert "p.csv exists already; --force overwrites it" in result.stderr
    assert (tmp_path / "p.csv").read_text() == "precious"
    assert not (tmp_path / "p.png").exists()
    assert run_lossy("progressive", *given, "--force").exit_code == 0
    assert len(rows_of(tmp_path / "p.csv")) == 2


@pytest.mark.parametrize(
    ("output", "code", "message"),
    [
        ("p.gif", 2, "ends in .png, .svg, .pdf"),
        ("photos/photo.png", 2, "would overwrite what is to be read"),
        ("photos/photo.irec/p.png", 1, "folder cannot be created"),
    ],
)
def test_impossible_output_is_one_line_before_any_work(
    run_lossy, photo, lossy_file, tmp_path, monkeypatch, output, code, message
):
    monkeypatch.setattr(LossyCodec, "decode", lambda *_: pytest.fail("worked"))
    before = photo.read_bytes()
    given = (lossy_file, photo, "-o", tmp_path / output, "--force")
    result = run_lossy("progressive", *given)
    assert result.exit_code == code
    assert_one_line(result.stderr)
    assert message in result.stderr
    assert photo.read_bytes() == before
    assert sorted(os.listdir(photo.parent)) == ["photo.irec", "photo.png"]


def test_a_folder_without_permission_fails_before_the_work(
    run_lossy, photo, lossy_file, tmp_path, monkeypatch
):
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    monkeypatch.setattr(LossyCodec, "decode", lambda *_: pytest.fail("worked"))
    result = run_lossy("progressive", lossy_file, photo, "-o", tmp_path / "p.png")
    assert result.exit_code == 1
    assert "no permission to write" in result.stderr


def test_another_original_is_refused_before_any_work(run_lossy, lossy_file, tmp_path, monkeypatch):
    monkeypatch.setattr(LossyCodec, "decode", lambda *_: pytest.fail("worked"))
    Image.fromarray(picture(64, 65, 1)[:, :, 0]).save(tmp_path / "other.png")
    given = (lossy_file, tmp_path / "other.png", "-o", tmp_path / "p.png")
    result = run_lossy("progressive", *given)
    assert result.exit_code == 2
    assert_one_line(result.stderr)
    assert "100x70 pixels and 3 channels" in result.stderr
    assert "65x64 pixels and 1 channel\n" in result.stderr


def test_files_of_no_use_are_one_line(run, run_lossy, photo, lossy_file, compressed, tmp_path):
    out = tmp_path / "p.png"
    result = run("progressive", compressed, compressed.with_suffix(".png"), "-o", out)
    assert result.exit_code == 2
    assert "a.irec: a lossless file" in result.stderr
    assert_one_line(result.stderr)
    lossy_file.write_bytes(lossy_file.read_bytes()[:-3])
    for file, name in [(lossy_file, "photo.irec"), (photo, "photo.png"), ("no.irec", "no.irec")]:
        result = run_lossy("progressive", file, photo, "-o", out)
        assert result.exit_code == 1
        assert f"{name}: " in result.stderr
        assert_one_line(result.stderr)
    assert not out.exists()


def test_interruption_is_one_line(run_lossy, photo, lossy_file, tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(LossyCodec, "decode", interrupted)
    result = run_lossy("progressive", lossy_file, photo, "-o", tmp_path / "p.png")
    assert result.exit_code == 130
    assert result.stderr == "irec: interrupted\n"
    assert not list(tmp_path.glob("p.*"))
