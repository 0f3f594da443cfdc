import errno
import inspect
import os

import numpy as np
import pytest
from PIL import Image

import irec
from irec.codec import LosslessCodec
from irec.commands.compress import Compress
from irec.images import read_image
from tests.commands.command_line import assert_one_line, files_below


def test_one_image_there_and_back(run, images):
    result = run("compress", images / "a.png")
    assert result.exit_code == 0, result.stderr
    assert_one_line(result.stdout)
    assert "bits per dimension" in result.stdout
    (images / "a.png").rename(images / "original.png")
    result = run("decompress", images / "a.irec")
    assert result.exit_code == 0, result.stderr
    assert_one_line(result.stdout)
    np.testing.assert_array_equal(read_image(images / "a.png"), read_image(images / "original.png"))


def test_folders_keep_their_structure(run, images, tmp_path):
    result = run("compress", images, "-o", tmp_path / "new/small")
    assert result.exit_code == 0, result.stderr
    assert files_below(tmp_path / "new/small") == ["a.irec", "inner/b.irec"]
    lines = result.stdout.strip().splitlines()
    assert len(lines) == 3
    assert lines[-1].startswith("2 of 2 files: ")
    result = run("decompress", tmp_path / "new/small", "-o", tmp_path / "back")
    assert result.exit_code == 0, result.stderr
    for name in ("a.png", "inner/b.png"):
        np.testing.assert_array_equal(
            read_image(tmp_path / "back" / name), read_image(images / name)
        )


def test_without_output_files_lie_beside_their_sources(run, images):
    assert run("compress", images).exit_code == 0
    assert files_below(images) == ["a.irec", "a.png", "inner/b.irec", "inner/b.png"]


@pytest.mark.parametrize(
    ("output", "expected"),
    [("new.irec", "new.irec"), ("folder", "folder/a.irec"), ("exists", "exists/a.irec")],
)
def test_output_of_one_file_may_be_a_file_or_a_folder(run, images, tmp_path, output, expected):
    (tmp_path / "exists").mkdir()
    assert run("compress", images / "a.png", "-o", tmp_path / output).exit_code == 0
    assert (tmp_path / expected).is_file()


@pytest.mark.parametrize("suffix", [".png", ".webp", ".ppm"])
def test_suffix_of_output_chooses_the_format(run, images, compressed, tmp_path, suffix):
    path = tmp_path / f"out{suffix}"
    assert run("decompress", compressed, "-o", path).exit_code == 0
    with Image.open(path) as image:
        assert image.format == suffix[1:].upper()
    np.testing.assert_array_equal(read_image(path), read_image(images / "a.png"))


def test_a_format_that_would_change_the_pixels_is_refused(run, compressed, tmp_path):
    result = run("decompress", compressed, "-o", tmp_path / "grey.pgm")
    assert result.exit_code == 1
    assert "choose .png" in result.stderr
    assert files_below(tmp_path) == ["images/a.irec", "images/a.png", "images/inner/b.png"]


@pytest.mark.parametrize(
    ("command", "inputs", "output", "message"),
    [
        ("compress", ["a.png"], "photo.png", "ends in .irec"),
        ("decompress", ["a.irec"], "photo.avif", "ends in .jpeg or .jpg"),
        ("compress", ["a.png", "inner/b.png"], "all.irec", "a folder is needed"),
        ("compress", ["."], "all.irec", "a folder is needed"),
        ("compress", ["a.png", "inner/b.png"], "images/a.png", "a folder is needed"),
    ],
)
def test_impossible_output_is_refused_before_any_work(
    run, images, tmp_path, command, inputs, output, message
):
    (images / "a.irec").touch()
    before = files_below(tmp_path)
    result = run(command, *(images / name for name in inputs), "-o", tmp_path / output)
    assert result.exit_code == 2
    assert message in result.stderr
    assert_one_line(result.stderr)
    assert files_below(tmp_path) == before


def test_a_file_named_twice_is_done_once(run, images):
    result = run("compress", images / "a.png", images / "a.png", images)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.count("a.irec") == 1


def test_bad_inputs_are_reported_and_the_others_done(run, images):
    (images / "text.png").write_text("hello")
    (images / "cut.png").write_bytes((images / "a.png").read_bytes()[:60])
    result = run("compress", images, images / "absent.png", images.parent)
    assert result.exit_code == 1
    assert files_below(images)[:2] == ["a.irec", "a.png"]
    assert (images / "inner/b.irec").is_file()
    failed = result.stderr.strip().splitlines()
    assert len(failed) == 3
    assert all(line.startswith("failed: ") for line in failed)
    assert "absent.png: no such file" in result.stderr
    assert "text.png: not an image" in result.stderr
    assert "2 of 5 files, 3 failed: " in result.stdout


def test_an_empty_folder_is_a_failure(run, tmp_path):
    result = run("compress", tmp_path)
    assert result.exit_code == 1
    assert "file in it" in result.stderr
    assert_one_line(result.stderr)


def test_existing_files_are_kept_unless_forced(run, images, compressed):
    compressed.write_bytes(b"precious")
    result = run("compress", images)
    assert result.exit_code == 1
    assert "a.irec exists already; --force overwrites it" in result.stderr
    assert compressed.read_bytes() == b"precious"
    assert (images / "inner/b.irec").is_file()
    assert run("compress", images, "--force").exit_code == 0
    assert compressed.read_bytes() != b"precious"
    result = run("decompress", compressed)
    assert result.exit_code == 1
    assert "a.png exists already" in result.stderr


def test_quiet_prints_failures_only(run, images):
    result = run("compress", images, images / "absent.png", "--quiet")
    assert result.stdout == ""
    assert_one_line(result.stderr)


def test_a_folder_that_cannot_be_made(run, images, tmp_path):
    (tmp_path / "file").touch()
    result = run("compress", images / "a.png", "-o", tmp_path / "file/inner")
    assert result.exit_code == 1
    assert "its folder cannot be created" in result.stderr


def test_a_folder_without_permission_fails_before_the_work(run, images, monkeypatch, tmp_path):
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    monkeypatch.setattr(LosslessCodec, "encode", lambda *given: pytest.fail("worked"))
    result = run("compress", images / "a.png", "-o", tmp_path)
    assert result.exit_code == 1
    assert "no permission to write" in result.stderr


def test_a_full_disk_leaves_no_partial_file(run, images, monkeypatch, tmp_path):
    def fail(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)
    result = run("compress", images, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert result.stderr.count("the disk is full") == 2
    assert files_below(tmp_path / "out") == []


def test_interruption_leaves_whole_files_only(run, images, monkeypatch, tmp_path):
    encode = LosslessCodec.encode

    def interrupted(self, image, quality=None):
        if image.shape[2] == 1:
            raise KeyboardInterrupt
        return encode(self, image, quality)

    monkeypatch.setattr(LosslessCodec, "encode", interrupted)
    result = run("compress", images, "-o", tmp_path / "out")
    assert result.exit_code == 130
    assert result.stderr == "interrupted; 1 of 2 files are done\n"
    assert files_below(tmp_path / "out") == ["a.irec"]


def test_unusual_names(run, images):
    path = images / os.fsdecode(b"caf\xe9 [bold] %s.png")
    (images / "a.png").rename(path)
    result = run("compress", path)
    assert result.exit_code == 0, result.stderr
    assert path.with_suffix(".irec").is_file()
    assert "[bold] %s.irec" in result.stdout


def test_an_unknown_checkpoint_is_one_line(run, images):
    result = run("compress", images, "--checkpoint", "nonesuch", use_checkpoint=False)
    assert result.exit_code == 1
    assert "no checkpoint 'nonesuch'" in result.stderr
    assert_one_line(result.stderr)


def test_cuda_where_there_is_none(run, images, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    result = run("compress", images, "--device", "cuda")
    assert result.exit_code == 2
    assert_one_line(result.stderr)
    assert "--device cpu" in result.stderr


@pytest.mark.parametrize("effort", ["0", "10", "high"])
def test_effort_is_one_to_nine(run, images, effort):
    result = run("compress", images / "a.png", "--effort", effort)
    assert result.exit_code == 2
    assert "--effort" in result.stderr


def test_defaults_are_those_of_the_library():
    command = inspect.signature(Compress).parameters
    library = inspect.signature(irec.compress).parameters
    shared = command.keys() & library.keys() - {"metadata"}
    assert "effort" in shared
    assert {name: command[name].default for name in shared} == {
        name: library[name].default for name in shared
    }
