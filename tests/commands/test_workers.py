"""Several jobs at once: the same files, lines and exit codes as one after the other."""

import os
import signal
import time
from pathlib import Path

import pytest
from PIL import Image

from irec.commands.jobs import Done, Job
from irec.commands.workers import Team
from irec.errors import IrecError
from irec.terminal import JobBars
from tests.commands.command_line import files_below
from tests.pictures import noise
from tests.processes import start


class Strange:
    """Work that does what a source's name says."""

    def __init__(self, begins=True):
        self.begins = begins

    def prepare(self):
        if not self.begins:
            raise IrecError("no model")

    def __call__(self, job):
        if job.source.name == "slow":
            time.sleep(0.5)
        if job.source.name == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        if job.source.name == "defect":
            raise ValueError("a defect")
        return Done(1, 1, 1, 1)


def outcomes_of(names, **options):
    jobs = [Job(Path(name), Path("out")) for name in names]
    return list(Team(jobs, Strange(**options), 2, JobBars(len(jobs), quiet=True)).outcomes())


def without_seconds(text):
    return [line.rsplit(", ", 1)[0] for line in text.splitlines()]


def test_files_lines_and_exit_codes_are_those_of_one_after_the_other(run, images, tmp_path):
    for n in range(3):
        Image.fromarray(noise(8, 8 + n, 3)).save(images / f"more{n}.png")
    (images / "broken.png").write_bytes(b"none")
    alone = run("compress", images, "-o", tmp_path / "out")
    (tmp_path / "out").rename(tmp_path / "alone")
    together = run("compress", images, "-o", tmp_path / "out", "--jobs", 3)
    assert (alone.exit_code, together.exit_code) == (1, 1)
    assert without_seconds(alone.stdout) == without_seconds(together.stdout)
    assert alone.stderr == together.stderr
    names = files_below(tmp_path / "alone")
    assert names == files_below(tmp_path / "out")
    for name in names:
        first, second = (tmp_path / folder / name for folder in ("alone", "out"))
        assert first.read_bytes() == second.read_bytes()
    result = run("decompress", tmp_path / "out", "-o", tmp_path / "back", "--jobs", 2)
    assert result.exit_code == 0, result.stderr
    assert len(files_below(tmp_path / "back")) == 5


def test_what_stops_all_is_said_once(run, images):
    result = run("compress", images, "-j", 2, "--checkpoint", "nope", use_checkpoint=False)
    assert result.exit_code == 1
    assert result.stderr.count("no checkpoint 'nope'") == 1
    with pytest.raises(IrecError, match="no model"):
        outcomes_of(["a", "b"], begins=False)


def test_a_process_that_dies_takes_one_job_with_it():
    found = outcomes_of(["slow", "dies", "a", "b"])
    assert [one.job.source.name for one in found] == ["slow", "dies", "a", "b"]
    assert [bool(one.done) for one in found] == [True, False, True, True]
    assert "its process ended (exit code -9); if memory is short, lower --jobs" in found[1].failure


def test_a_defect_is_not_hidden():
    with pytest.raises(ValueError, match="a defect"):
        outcomes_of(["defect", "a"])


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_all_processes(images, checkpoint, tmp_path, number, code):
    for n in range(40):
        Image.fromarray(noise(64, 64, 3)).save(images / f"more{n:02}.png")
    options = "--model-only", "--checkpoint", checkpoint, "--effort", 9, "-j", 2
    process = start("compress", images, "-o", tmp_path / "out", *options, cwd=tmp_path)
    deadline = time.monotonic() + 60
    while not (tmp_path / "out").is_dir() or not files_below(tmp_path / "out"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    # As a terminal does, to all of them.
    os.killpg(process.pid, number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == code, err
    assert "Traceback" not in err
    if number == signal.SIGINT:
        assert f"interrupted; {len(out.splitlines())} of 42 files are done" in err
    assert all(name.endswith(".irec") for name in files_below(tmp_path / "out"))
    # Python's own helper ends a little later.
    while is_running(process.pid):
        assert time.monotonic() < deadline + 60
        time.sleep(0.05)


def is_running(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
