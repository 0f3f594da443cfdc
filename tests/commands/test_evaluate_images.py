"""``irec evaluate`` on images: our checkpoints and other codecs."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from irec.evaluation.codecs import classical_codecs
from irec.evaluation.measurements import (
    Measurement,
    by_codec,
    kodak_lossless,
    published_lossless,
    read_measurements,
)
from tests.commands.command_line import irec
from tests.pictures import picture


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("pictures").mkdir()
    for seed in range(2):
        Image.fromarray(picture(24, 40, 3, seed)).save(f"pictures/{seed}.png")
    return "pictures"


def evaluate(*arguments):
    return irec("evaluate", *arguments)


def test_checkpoints_and_other_codecs_stand_in_one_table(
    pictures, tiny_checkpoint, tiny_lossy_checkpoint
):
    ours = f"{tiny_checkpoint},{tiny_lossy_checkpoint}"
    arguments = ("--codecs", f"{ours},png,webp,webp-lossy", "-o", "out", "--effort", 1)
    result = evaluate(pictures, *arguments)
    assert result.exit_code == 0, result.output
    measured = read_measurements(Path("out/measurements.json"))
    files = sorted(Path("out", tiny_checkpoint.name).rglob("*.irec"))
    of_ours = [one for one in measured if one.codec == tiny_checkpoint.name]
    assert [one.file_bits for one in of_ours] == [8 * path.stat().st_size for path in files]
    png = [one for one in measured if one.codec == "PNG"]
    for one, path in zip(png, sorted(Path("pictures").iterdir()), strict=True):
        assert one.n_dims == np.asarray(Image.open(path)).size
        assert math.isinf(one.psnr_db)
    for words in ("as published", "iREC (2020) *", "BD-rate of rows"):
        assert words in result.output
    document = json.loads(Path("out/compressai-webp-lossy.json").read_text())
    assert set(document["results"]) == {"bpp", "psnr-rgb", "ms-ssim-rgb"}
    assert document["results"]["bpp"] == sorted(document["results"]["bpp"])


def test_what_is_not_installed_is_left_out_with_a_reason(pictures, monkeypatch):
    monkeypatch.setenv("PATH", "")
    result = evaluate(pictures, "--codecs", "png,flif,bpg-lossy", "-o", "out")
    assert result.exit_code == 0
    assert "flif is left out: the program flif is not installed" in result.output
    assert "bpgenc is not installed" in result.output


def test_an_unknown_codec_is_a_usage_error(pictures):
    result = evaluate(pictures, "--codecs", "gif")
    assert result.exit_code == 2
    assert "gif" in result.output
    assert "webp-lossy" in result.output


def test_no_more_images_are_read_than_were_asked_for(pictures):
    Path(pictures, "9.png").write_bytes(b"no image")
    result = evaluate(pictures, "--codecs", "png", "-o", "out", "--max-images", 2)
    assert result.exit_code == 0, result.output
    assert len(read_measurements(Path("out/measurements.json"))) == 2


def test_images_whose_files_would_have_one_name_are_refused(pictures):
    shutil.copytree(pictures, "again")
    result = evaluate(pictures, "again", "--codecs", "png", "-o", "out")
    assert result.exit_code == 1
    assert "compressed to the same file: 0.png and 0.png" in result.output


@pytest.mark.parametrize("name", classical_codecs())
@pytest.mark.parametrize("channels", [1, 3])
def test_codecs_give_back_what_they_should(name, channels):
    codec, pixels = classical_codecs()[name], picture(40, 56, channels)
    if (reason := codec.missing) is not None:
        pytest.skip(reason)
    sizes = []
    for setting in codec.settings:
        data = codec.encode(pixels, setting)
        decoded = codec.decode(data)[:, :, :channels]
        assert decoded.shape == pixels.shape
        sizes.append(len(data))
        if codec.is_lossless:
            assert np.array_equal(decoded, pixels)
    assert sizes == sorted(sizes)


def test_modes_of_a_codec_are_kept_apart():
    exact = Measurement("WebP", "a", None, 8, 8, 3, 900, math.inf, 1.0, 0.0, 0.0)
    lossy = Measurement("WebP", "a", 50.0, 8, 8, 3, 90, 30.0, None, 0.0, 0.0)
    assert by_codec([exact, lossy]) == {"WebP": [exact], "WebP, lossy": [lossy]}


def test_published_figures_are_there():
    assert published_lossless()["iREC (2020)"] == ("4.18", "4.91", "3.67")
    rates = [float(rate) for rate in kodak_lossless()["JPEG XL (e7)"].values()]
    assert len(rates) == 24
    assert np.mean(rates) == pytest.approx(2.90, abs=0.01)
