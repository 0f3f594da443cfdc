import errno
import os

import numpy as np
import pytest
from PIL import Image

from irec.bitstream import read_header
from irec.codec import LossyCodec, decompress
from irec.images import read_image
from tests.commands.command_line import assert_one_line
from tests.pictures import picture


def bits_per_pixel(path, n_pixels=70 * 100):
    return 8 * path.stat().st_size / n_pixels


def test_one_image_there_and_back(run_lossy, photo, tiny_lossy_checkpoint):
    result = run_lossy("compress", photo)
    assert result.exit_code == 0, result.stderr
    assert_one_line(result.stdout)
    path = photo.with_suffix(".irec")
    assert f" {bits_per_pixel(path):.4f} bits per pixel" in result.stdout
    assert read_header(path.read_bytes()).profile.is_lossy
    back = photo.with_name("back.png")
    result = run_lossy("decompress", path, "-o", back)
    assert result.exit_code == 0, result.stderr
    decoded = decompress(path.read_bytes(), checkpoint=str(tiny_lossy_checkpoint))
    np.testing.assert_array_equal(read_image(back), decoded)
    assert decoded.shape == (70, 100, 3)


def test_quality_chooses_the_rate_and_is_50_unless_given(run_lossy, photo):
    files = {}
    for quality in ("0", "50", "100", None, "49.9"):
        path = photo.with_name(f"{quality}.irec")
        option = [] if quality is None else ["--quality", quality]
        assert run_lossy("compress", photo, "-o", path, *option).exit_code == 0
        files[quality] = path.read_bytes()
    assert len(files["0"]) < len(files["50"]) < len(files["100"])
    assert files[None] == files["50"] == files["49.9"]


def test_target_is_met_and_used(run_lossy, photo):
    low, high, path = (photo.with_name(f"{name}.irec") for name in ("low", "high", "target"))
    run_lossy("compress", photo, "--quality", 50, "-o", low)
    run_lossy("compress", photo, "--quality", 80, "-o", high)
    target = (bits_per_pixel(low) + 3 * bits_per_pixel(high)) / 4
    result = run_lossy("compress", photo, "--target-bpp", target, "-o", path)
    assert result.exit_code == 0, result.stderr
    assert bits_per_pixel(low) < bits_per_pixel(path) <= target


def test_a_target_out_of_reach_is_told_of_each_image(run_lossy, photo):
    Image.fromarray(picture(64, 64, 3)).save(photo.with_name("b.png"))
    result = run_lossy("compress", photo.parent, "--target-bpp", 0.001)
    assert result.exit_code == 1
    assert result.stderr.count("out of this model's reach") == 2
    assert not list(photo.parent.glob("*.irec"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--lossy", "--quality=50", "--target-bpp=1"], "exclude each other"),
        (["--quality=50"], "need --lossy"),
        (["--quality=0"], "need --lossy"),
        (["--target-bpp=1"], "need --lossy"),
        (["--lossy", "--target-psnr=30", "--target-bpp=1"], "exclude each other"),
        (["--target-psnr=30"], "need --lossy"),
        (["--lossy", "--target-psnr=nan"], "a number above 0"),
        (["--lossy", "--target-bpp=0"], "a number above 0"),
        (["--lossy", "--target-bpp=-1"], "a number above 0"),
        (["--lossy", "--target-bpp=nan"], "a number above 0"),
        (["--lossy", "--quality=-1"], "--quality"),
        (["--lossy", "--quality=100.5"], "--quality"),
        (["--lossy", "--quality=nan"], "--quality"),
        (["--lossy", "--quality=good"], "--quality"),
    ],
)
def test_impossible_rates_are_refused_before_any_work(
    run, photo, tiny_lossy_checkpoint, tmp_path, options, message
):
    chosen = ["--checkpoint", tiny_lossy_checkpoint, "-o", tmp_path / "out"]
    result = run("compress", photo.parent, *options, *chosen, use_checkpoint=False)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", ["--quality", "--target-bpp"])
def test_a_model_of_one_rate_says_so_once(run_lossy, photo, one_rate_checkpoint, option):
    Image.fromarray(picture(64, 64, 3)).save(photo.with_name("b.png"))
    result = run_lossy("compress", photo.parent, option, 50, checkpoint=one_rate_checkpoint)
    assert result.exit_code == 2
    assert_one_line(result.stderr)
    assert "model of one quality" in result.stderr
    result = run_lossy("compress", photo.parent, checkpoint=one_rate_checkpoint)
    assert result.exit_code == 0, result.stderr
    assert len(list(photo.parent.glob("*.irec"))) == 2


def test_a_checkpoint_of_the_other_kind_is_named_once(
    run, run_lossy, photo, checkpoint, tiny_lossy_checkpoint
):
    Image.fromarray(picture(64, 64, 3)).save(photo.with_name("b.png"))
    result = run_lossy("compress", photo.parent, checkpoint=checkpoint)
    assert result.exit_code == 1
    assert_one_line(result.stderr)
    assert "tiny is a lossless model" in result.stderr
    chosen = ["--checkpoint", tiny_lossy_checkpoint]
    result = run("compress", photo.parent, *chosen, use_checkpoint=False)
    assert result.exit_code == 1
    assert_one_line(result.stderr)
    assert "--lossy" in result.stderr
    assert not list(photo.parent.glob("*.irec"))


def test_an_unknown_checkpoint_is_named_once(run_lossy, photo):
    Image.fromarray(picture(64, 64, 3)).save(photo.with_name("b.png"))
    result = run_lossy("compress", photo.parent, checkpoint="nonesuch")
    assert result.exit_code == 1
    assert_one_line(result.stderr)
    assert "no checkpoint 'nonesuch'" in result.stderr


@pytest.mark.parametrize(
    ("mode", "size"), [("L", (40, 66)), ("LA", (20, 30)), ("RGBA", (70, 50)), ("RGB", (1, 1))]
)
def test_other_kinds_of_image_keep_size_colour_and_alpha(run_lossy, tmp_path, mode, size):
    n_channels = len(Image.new(mode, (1, 1)).getbands())
    pixels = picture(*size, n_channels)
    Image.fromarray(pixels[:, :, 0] if mode == "L" else pixels).save(tmp_path / "a.png")
    assert run_lossy("compress", tmp_path / "a.png").exit_code == 0
    result = run_lossy("decompress", tmp_path / "a.irec", "-o", tmp_path / "back.png")
    assert result.exit_code == 0, result.stderr
    with Image.open(tmp_path / "back.png") as image:
        assert image.mode == mode
    decoded = read_image(tmp_path / "back.png")
    assert decoded.shape == pixels.shape
    if mode in ("LA", "RGBA"):
        np.testing.assert_array_equal(decoded[..., -1], pixels[..., -1])


def test_a_folder_is_done_and_summed_up(run_lossy, images, tmp_path):
    (images / "text.png").write_text("hello")
    result = run_lossy("compress", images, "-o", tmp_path / "out")
    assert result.exit_code == 1
    written = sorted((tmp_path / "out").rglob("*.irec"))
    assert [path.name for path in written] == ["a.irec", "b.irec"]
    assert "text.png: not an image" in result.stderr
    n_bytes, n_pixels = sum(path.stat().st_size for path in written), 6 * 9 + 5 * 4
    last = result.stdout.splitlines()[-1]
    assert last.startswith("2 of 3 files, 1 failed: ")
    assert f"-> {n_bytes} bytes, {8 * n_bytes / n_pixels:.4f} bits per pixel" in last


def test_what_cannot_be_written_fails_before_the_work(run_lossy, photo, lossy_file, monkeypatch):
    monkeypatch.setattr(LossyCodec, "encode", lambda *_: pytest.fail("worked"))
    result = run_lossy("compress", photo)
    assert result.exit_code == 1
    assert "photo.irec exists already; --force overwrites it" in result.stderr
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    result = run_lossy("compress", photo, "--force")
    assert result.exit_code == 1
    assert "no permission to write" in result.stderr


def test_a_full_disk_leaves_the_earlier_file(run_lossy, photo, lossy_file, monkeypatch):
    def fail(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = lossy_file.read_bytes()
    monkeypatch.setattr(os, "fsync", fail)
    result = run_lossy("compress", photo, "--quality", 0, "--force")
    assert result.exit_code == 1
    assert "the disk is full" in result.stderr
    assert lossy_file.read_bytes() == before
    assert sorted(os.listdir(photo.parent)) == ["photo.irec", "photo.png"]


def test_interruption_leaves_no_file(run_lossy, photo, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("irec.codec.lossy.render", interrupted)
    result = run_lossy("compress", photo)
    assert result.exit_code == 130
    assert result.stderr == "interrupted; 0 of 1 files are done\n"
    assert os.listdir(photo.parent) == ["photo.png"]


def test_the_limit_counts_pixels_as_the_model_sees_them(run_lossy, lossy_file, photo, monkeypatch):
    within = ("--max-pixels", 128 * 128)
    assert run_lossy("compress", photo, "--force", *within).exit_code == 0
    assert run_lossy("decompress", lossy_file, "--force", *within).exit_code == 0
    monkeypatch.setattr(LossyCodec, "encode", lambda *given: pytest.fail("worked"))
    monkeypatch.setattr(LossyCodec, "decode", lambda *given: pytest.fail("worked"))
    for command, path in (("compress", photo), ("decompress", lossy_file)):
        result = run_lossy(command, path, "--force", "--max-pixels", 128 * 128 - 1)
        assert result.exit_code == 1
        assert_one_line(result.stderr)
        assert "100x70 pixels, 16,384 once padded to 128x128" in result.stderr
        assert "limit of 16,383; raise it (max_pixels, --max-pixels)" in result.stderr
