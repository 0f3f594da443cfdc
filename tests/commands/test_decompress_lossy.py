import numpy as np
import pytest

from irec.codec import decompress
from irec.images import read_image
from tests.commands.command_line import assert_one_line


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out.png"


@pytest.mark.parametrize("share", [0.5, 0.75, 0.95])
def test_a_file_cut_off_is_decoded_where_that_is_allowed(
    run_lossy, lossy_file, tiny_lossy_checkpoint, out, share
):
    whole = lossy_file.read_bytes()
    data = whole[: int(share * len(whole))]
    lossy_file.write_bytes(data)
    result = run_lossy("decompress", lossy_file, "-o", out)
    assert result.exit_code == 1
    assert_one_line(result.stderr)
    assert "photo.irec" in result.stderr
    assert "--allow-truncated" in result.stderr
    assert not out.exists()
    result = run_lossy("decompress", lossy_file, "-o", out, "--allow-truncated")
    assert result.exit_code == 0, result.stderr
    chosen = str(tiny_lossy_checkpoint)
    expected = decompress(data, allow_truncated=True, checkpoint=chosen)
    np.testing.assert_array_equal(read_image(out), expected)
    assert not np.array_equal(expected, decompress(whole, checkpoint=chosen))


def test_too_little_of_a_file_is_one_line(run_lossy, lossy_file, out):
    data = lossy_file.read_bytes()
    for length in (0, 1, 4, 8):
        lossy_file.write_bytes(data[:length])
        result = run_lossy("decompress", lossy_file, "-o", out, "--allow-truncated")
        assert result.exit_code == 1, length
        assert_one_line(result.stderr)
        assert "photo.irec: " in result.stderr
        assert not out.exists()


def test_whole_files_may_be_damaged_nowhere(run_lossy, lossy_file, out):
    data = lossy_file.read_bytes()
    # The last byte ends in zero bits, which damage would not spoil.
    for place in (3, len(data) // 2, len(data) - 2):
        lossy_file.write_bytes(data[:place] + bytes([data[place] ^ 8]) + data[place + 1 :])
        for option in ([], ["--allow-truncated"]):
            result = run_lossy("decompress", lossy_file, "-o", out, *option)
            assert result.exit_code == 1, (place, option)
            assert_one_line(result.stderr)
            assert not out.exists()


def test_a_lossless_file_cut_off_is_of_no_use(run, compressed, out):
    compressed.write_bytes(compressed.read_bytes()[:-20])
    result = run("decompress", compressed, "-o", out, "--allow-truncated")
    assert result.exit_code == 1
    assert_one_line(result.stderr)
    assert "a.irec: " in result.stderr
    assert not out.exists()


def test_allow_truncated_changes_nothing_for_whole_files(
    run, run_lossy, compressed, lossy_file, tmp_path
):
    run_lossy("decompress", lossy_file, "-o", tmp_path / "lossy")
    run("decompress", compressed, "-o", tmp_path / "lossless")
    for command, path, name in [
        (run_lossy, lossy_file, "lossy/photo.png"),
        (run, compressed, "lossless/a.png"),
    ]:
        out = tmp_path / "allowed.png"
        assert command("decompress", path, "-o", out, "-f", "--allow-truncated").exit_code == 0
        np.testing.assert_array_equal(read_image(out), read_image(tmp_path / name))


def test_the_wrong_checkpoint_is_named(run, lossy_file, one_rate_checkpoint, checkpoint, out):
    for wrong in (one_rate_checkpoint, checkpoint):
        chosen = ["--checkpoint", wrong, "-o", out]
        result = run("decompress", lossy_file, *chosen, use_checkpoint=False)
        assert result.exit_code == 1
        assert_one_line(result.stderr)
        assert "fingerprint" in result.stderr
        assert not out.exists()
