import pytest

from tests.commands.command_line import assert_one_line


def test_damage_is_reported_with_the_file_and_nothing_is_written(run, images, compressed):
    data = compressed.read_bytes()
    damaged = {
        "cut": data[: len(data) // 2],
        "header": data[:5],
        "empty": b"",
        "foreign": b"PK\x03\x04" + data[4:],
        "flipped": data[:-3] + bytes([data[-3] ^ 1]) + data[-2:],
    }
    for name, content in damaged.items():
        (images / f"{name}.irec").write_bytes(content)
        result = run("decompress", images / f"{name}.irec")
        assert result.exit_code == 1, name
        assert f"{name}.irec" in result.stderr
        assert_one_line(result.stderr)
        assert not (images / f"{name}.png").exists()


def test_good_files_among_bad_ones_are_done(run, images, compressed, tmp_path):
    (images / "bad.irec").write_bytes(b"iR")
    result = run("decompress", images, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.png"]
    assert "1 of 2 files, 1 failed" in result.stdout


def test_the_wrong_checkpoint_is_named(run, images, compressed, other_checkpoint):
    (images / "a.png").unlink()
    result = run("decompress", compressed, "--checkpoint", other_checkpoint, use_checkpoint=False)
    assert result.exit_code == 1
    assert "fingerprint" in result.stderr
    result = run("decompress", compressed, use_checkpoint=False)
    assert result.exit_code == 1
    assert "--checkpoint" in result.stderr
    assert_one_line(result.stderr)


def test_an_image_given_to_decompress(run, images, tmp_path):
    result = run("decompress", images / "a.png", "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert "not an .irec file" in result.stderr


@pytest.mark.parametrize("command", ["decompress", "inspect"])
def test_a_file_that_is_none_is_not_read_to_its_end(run, tmp_path, command):
    with (tmp_path / "large.irec").open("wb") as file:
        file.truncate(1 << 42)  # takes no room on the disk
    result = run(command, tmp_path / "large.irec")
    assert result.exit_code == 1
    assert "not an .irec file" in result.stderr
