"""What compress and decompress do besides: pipes, reruns, limits, conversions."""

import io
import json
import os

import numpy as np
import pytest
from PIL import Image

from irec.codec import LosslessCodec
from irec.images import read_image
from tests.commands.command_line import files_below, irec


def piped(data, *arguments, checkpoint):
    return irec(*arguments, "--checkpoint", checkpoint, input=data)


def test_pipes_there_and_back(images, checkpoint, tmp_path):
    image = (images / "a.png").read_bytes()
    result = piped(image, "compress", "-", "--effort", "1", checkpoint=checkpoint)
    assert result.exit_code == 0, result.stderr
    assert "- -> -: " in result.stderr
    result = piped(result.stdout_bytes, "decompress", "-", "-o", "-", checkpoint=checkpoint)
    assert result.exit_code == 0, result.stderr
    back = np.array(Image.open(io.BytesIO(result.stdout_bytes)))
    np.testing.assert_array_equal(back, read_image(images / "a.png"))
    named = piped(
        image, "compress", "-", "-o", tmp_path / "x.irec", "--effort", "1", checkpoint=checkpoint
    )
    assert named.exit_code == 0, named.stderr
    assert (tmp_path / "x.irec").is_file()


@pytest.mark.parametrize("arguments", [("-", "a.png"), (".", "-o", "-"), ("-", "-o", ".")])
def test_pipes_carry_one_image(checkpoint, arguments):
    result = piped(b"", "compress", *arguments, checkpoint=checkpoint)
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1


def test_what_is_piped_in_is_no_image(checkpoint):
    result = piped(b"hello", "compress", "-", checkpoint=checkpoint)
    assert result.exit_code == 1
    assert result.stdout_bytes == b""
    assert "not an image that irec reads" in result.stderr


def test_a_rerun_does_the_rest(run, images, monkeypatch):
    assert run("compress", images / "a.png").exit_code == 0
    before = (images / "a.irec").stat().st_mtime_ns
    result = run("compress", images, "--skip-existing")
    assert result.exit_code == 0, result.stderr
    assert "a.irec: kept, it is whole" in result.stdout
    assert "1 of 2 files, 1 kept: " in result.stdout
    assert (images / "a.irec").stat().st_mtime_ns == before
    monkeypatch.setattr(LosslessCodec, "encode", lambda *given: pytest.fail("worked"))
    assert run("compress", images, "--skip-existing").exit_code == 0


def test_a_rerun_does_not_trust_what_is_there(run, images):
    assert run("compress", images).exit_code == 0
    data = (images / "a.irec").read_bytes()
    (images / "a.irec").write_bytes(data[:-3])
    (images / "inner/b.irec").write_bytes(data)
    result = run("compress", images, "--skip-existing")
    assert result.exit_code == 1
    assert "a.irec exists, but does not decode" in result.stderr
    assert "b.irec exists, but holds another image" in result.stderr


def test_a_rerun_of_decompress(run, images, tmp_path):
    assert run("compress", images).exit_code == 0
    assert run("decompress", images, "-o", tmp_path / "out").exit_code == 0
    (tmp_path / "out/inner/b.png").unlink()
    result = run("decompress", images, "-o", tmp_path / "out", "--skip-existing")
    assert result.exit_code == 0, result.stderr
    assert "1 of 2 files, 1 kept: " in result.stdout
    (tmp_path / "out/a.png").write_bytes(b"cut")
    (tmp_path / "out/inner/b.png").write_bytes((images / "a.png").read_bytes())
    result = run("decompress", images, "-o", tmp_path / "out", "--skip-existing")
    assert result.exit_code == 1
    assert "a.png exists, but is not whole" in result.stderr
    assert "b.png exists, but is an image of another size" in result.stderr


def test_larger_images_than_the_limit_are_refused_before_any_work(run, images, monkeypatch):
    assert run("compress", images / "a.png").exit_code == 0
    monkeypatch.setattr(LosslessCodec, "encode", lambda *given: pytest.fail("worked"))
    monkeypatch.setattr(LosslessCodec, "decode", lambda *given: pytest.fail("worked"))
    for command, name in (("compress", "a.png"), ("decompress", "a.irec")):
        result = run(command, images / name, "--max-pixels", "53")
        assert result.exit_code == 1
        assert "9x6 pixels are more than the limit of 53" in result.stderr


def test_times_are_kept_on_request(run, images):
    os.utime(images / "a.png", (1e9, 1e9))
    assert run("compress", images / "a.png", "--keep-time").exit_code == 0
    assert (images / "a.irec").stat().st_mtime == 1e9
    assert run("decompress", images / "a.irec", "--force", "--keep-time").exit_code == 0
    assert (images / "a.png").stat().st_mtime == 1e9


def test_images_of_other_kinds_are_converted_on_request(run, images):
    Image.new("CMYK", (5, 4), (10, 20, 30, 40)).save(images / "print.tif")
    result = run("compress", images / "print.tif")
    assert result.exit_code == 1
    assert "mode CMYK" in result.stderr
    assert "--convert turns it into RGB" in result.stderr
    result = run("compress", images / "print.tif", "--convert")
    assert result.exit_code == 0, result.stderr
    assert "note: " in result.stderr
    assert "mode CMYK: turns it into RGB" in result.stderr


def test_a_jpeg_that_grows_is_warned_about(run, images):
    image = Image.fromarray(read_image(images / "a.png")).resize((64, 64))
    image.save(images / "photo.jpg", quality=5)
    result = run("compress", images / "photo.jpg")
    assert result.exit_code == 0, result.stderr
    assert "larger than the JPEG that it came from" in result.stderr


def test_installed_models_are_listed():
    result = irec("models", "--json")
    assert result.exit_code == 0, result.stderr
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert {row["mode"] for row in rows} == {"lossless", "lossy"}
    assert {row["default_of"] for row in rows} >= {"compress", "compress --lossy"}
    table = irec("models")
    assert all(row["name"] in table.stdout for row in rows)
    assert all(row["fingerprint"] in table.stdout for row in rows)


def test_outputs_of_a_folder_are_only_those_asked_for(run, images, tmp_path):
    run("compress", images, "-o", tmp_path / "out", "--keep-time", "--skip-existing")
    assert files_below(tmp_path / "out") == ["a.irec", "inner/b.irec"]
