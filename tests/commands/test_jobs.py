"""Which files become which, and what is said about those that do not."""

import os
import signal
import subprocess
import sys

import pytest
from PIL import Image

from irec.codec import LosslessCodec
from irec.images import read_image
from tests.commands.command_line import assert_one_line, files_below


def test_images_of_one_stem_keep_their_suffixes(run, images, tmp_path):
    Image.new("RGB", (4, 4)).save(images / "a.bmp")
    result = run("compress", images, "-o", tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    assert files_below(tmp_path / "out") == ["a.bmp.irec", "a.png.irec", "inner/b.irec"]
    result = run("decompress", tmp_path / "out", "-o", tmp_path / "back")
    assert result.exit_code == 0, result.stderr
    assert files_below(tmp_path / "back") == ["a.bmp.png", "a.png", "inner/b.png"]
    assert (read_image(tmp_path / "back/a.png") == read_image(images / "a.png")).all()


def test_files_of_one_name_from_several_folders_are_refused_before_any_work(run, images, tmp_path):
    Image.new("RGB", (4, 4)).save(images / "inner/a.png")
    result = run("compress", images / "a.png", images / "inner/a.png", "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert "would both become" in result.stderr
    assert not (tmp_path / "out").exists()


def test_other_kinds_of_files_are_counted(run, images):
    for name in ("x.txt", "y.txt", "inner/z.avif", "README"):
        (images / name).touch()
    result = run("compress", images)
    assert result.exit_code == 0, result.stderr
    assert "skipped, being of other kinds: 1 .avif, 2 .txt, 1 README\n" in result.stdout


def test_links_and_folders_that_cannot_be_read_are_failures(run, images, monkeypatch):
    (images / "gone.png").symlink_to(images / "nothing")
    (images / "locked").mkdir()
    scan = os.scandir

    def scandir(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    result = run("compress", images)
    assert result.exit_code == 1
    assert "gone.png: a link that leads nowhere" in result.stderr
    assert "locked: folder cannot be read (Permission denied)" in result.stderr
    assert "2 of 4 files, 2 failed" in result.stdout


def test_an_image_given_to_decompress_is_not_one(run, images):
    result = run("decompress", images / "a.png")
    assert result.exit_code == 1
    assert "a.png: not one of .irec" in result.stderr
    assert_one_line(result.stderr)


def test_names_too_long_for_the_system(run, images):
    result = run("compress", images / ("x" * 300 + ".png"), images / "a.png")
    assert result.exit_code == 1
    assert "File name too long" in result.stderr
    assert (images / "a.irec").is_file()


def test_a_target_that_is_a_dangling_link(run, images, tmp_path):
    target = tmp_path / "out.irec"
    target.symlink_to(tmp_path / "nothing")
    result = run("compress", images / "a.png", "-o", target)
    assert result.exit_code == 1
    assert "out.irec is a link that leads nowhere; --force replaces it" in result.stderr
    assert run("compress", images / "a.png", "-o", target, "--force").exit_code == 0
    assert target.is_file()
    assert not target.is_symlink()


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried\nmore"),
        RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"),
    ],
)
def test_an_image_too_large_for_memory_fails_alone(run, images, monkeypatch, error):
    encode = LosslessCodec.encode

    def fail(self, image, quality=None):
        if image.shape[2] == 3:
            raise error
        return encode(self, image, quality)

    monkeypatch.setattr(LosslessCodec, "encode", fail)
    result = run("compress", images)
    assert result.exit_code == 1
    assert "a.png: not enough memory" in result.stderr
    assert_one_line(result.stderr)
    assert (images / "inner/b.irec").is_file()


def test_an_image_with_too_long_a_side_is_refused_before_any_work(run, images, monkeypatch):
    monkeypatch.setattr(LosslessCodec, "encode", lambda *given: pytest.fail("worked"))
    Image.new("L", (65537, 1)).save(images / "long.png")
    result = run("compress", images / "long.png")
    assert result.exit_code == 1
    assert "65537x1 pixels" in result.stderr


def irec_process(*arguments, **kwargs):
    return subprocess.run(
        [sys.executable, "-m", "irec", *map(str, arguments)],
        stderr=subprocess.PIPE,
        **kwargs,
    )


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_names_that_the_terminal_lacks(images, checkpoint, encoding):
    (images / "a.png").rename(images / "\u2603.png")
    result = irec_process(
        *("compress", images, "--checkpoint", checkpoint),
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONIOENCODING": encoding},
    )
    assert result.returncode == 0, result.stderr
    assert rb"\u2603.irec" in result.stdout
    assert (images / "inner/b.irec").is_file()


def test_output_that_nobody_reads(images, checkpoint):
    options = "--checkpoint", checkpoint
    closed = irec_process("compress", images, *options, preexec_fn=lambda: os.close(1))
    assert (closed.returncode, closed.stderr) == (0, b"")
    reader, writer = os.pipe()
    os.close(reader)
    broken = irec_process("inspect", images / "a.irec", *options, stdout=writer)
    os.close(writer)
    assert (broken.returncode, broken.stderr) == (0, b"")


def test_sigterm_leaves_no_half_file(run, images, monkeypatch):
    def killed(self, image, quality=None):
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(LosslessCodec, "encode", killed)
    assert run("compress", images).exit_code == 143
    assert files_below(images) == ["a.png", "inner/b.png"]


@pytest.mark.parametrize("command", ["compress", "inspect", "plot"])
def test_short_help(run, command):
    assert "Usage" in run(command, "-h", use_checkpoint=False).stdout
