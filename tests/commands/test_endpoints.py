import os
import subprocess
import sys

import pytest

from tests.commands.command_line import assert_one_line, irec

needs_dev_full = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")


def shell(command):
    """Run a command of a shell, in which IREC is this one."""
    program = f"{sys.executable} -m irec"
    return subprocess.run(
        command.replace("IREC", program), shell=True, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("command", ["compress", "decompress"])
@pytest.mark.parametrize("arguments", [[""], ["x", "-o", ""]])
def test_an_empty_name_is_not_the_current_folder(tmp_path, monkeypatch, command, arguments):
    monkeypatch.chdir(tmp_path)
    result = irec(command, *arguments)
    assert result.exit_code == 2
    assert "an empty name" in result.stderr
    assert not list(tmp_path.iterdir())


def test_an_image_is_not_lost_where_the_output_is_closed(compressed, checkpoint):
    done = shell(f"IREC decompress {compressed} --checkpoint {checkpoint} -o - >&-")
    assert done.returncode == 1
    assert_one_line(done.stderr)
    assert "the standard output: it is closed" in done.stderr


@needs_dev_full
@pytest.mark.parametrize("target", ["-o -", "-o again.png -f"])
def test_a_full_disk_behind_the_output_is_one_line(compressed, checkpoint, tmp_path, target):
    options = f"{compressed} --checkpoint {checkpoint} {target}"
    done = shell(f"cd {tmp_path}; IREC decompress {options} >/dev/full")
    assert done.returncode == 1
    assert_one_line(done.stderr)
    assert "cannot write to the standard output: No space left on device" in done.stderr
