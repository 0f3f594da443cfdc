import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from irec.errors import IrecError
from irec.files import OutputFileError, unfinished, write_atomically, write_together


def fail_with(error: BaseException):
    def fail(*_args: object, **_kwargs: object) -> None:
        raise error

    return fail


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_appears_with_its_contents_and_nothing_else(tmp_path: Path, overwrite: bool):
    write_atomically(tmp_path / "a.irec", b"abc", overwrite=overwrite)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"a.irec": b"abc"}


def test_an_existing_file_is_replaced_only_when_asked(tmp_path: Path):
    path = tmp_path / "a.irec"
    path.write_bytes(b"old")
    with pytest.raises(OutputFileError, match="exists"):
        write_atomically(path, b"new", overwrite=False)
    assert path.read_bytes() == b"old"
    write_atomically(str(path), b"new", overwrite=True)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"a.irec": b"new"}


@pytest.mark.parametrize("function", ["fsync", "link", "replace"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space"), KeyboardInterrupt()])
def test_a_failure_leaves_no_trace(tmp_path: Path, monkeypatch, function: str, error):
    path = tmp_path / "a.irec"
    overwrite = function == "replace"
    if overwrite:
        path.write_bytes(b"old")
    # Without hard links the name is given by replace, so that must fail too.
    for name in {"link": ("link", "replace")}.get(function, (function,)):
        monkeypatch.setattr(os, name, fail_with(error))
    expected = KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else OutputFileError
    with pytest.raises(expected) as caught:
        write_atomically(path, b"new", overwrite=overwrite)
    left = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    assert left == ({"a.irec": b"old"} if overwrite else {})
    if expected is OutputFileError:
        assert "the disk is full" in str(caught.value)


def write_over_what_appears(path: Path) -> None:
    with unfinished(path, overwrite=False) as temporary:
        temporary.write_bytes(b"ours")
        path.write_bytes(b"theirs")


def test_a_file_that_appears_meanwhile_is_kept(tmp_path: Path, monkeypatch):
    path = tmp_path / "a.irec"
    for has_links in (True, False):
        if not has_links:
            monkeypatch.setattr(os, "link", fail_with(OSError(errno.EPERM, "no links here")))
        path.unlink(missing_ok=True)
        with pytest.raises(OutputFileError, match="appeared"):
            write_over_what_appears(path)
        assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"a.irec": b"theirs"}


def test_file_systems_without_hard_links_work(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(os, "link", fail_with(OSError(errno.EPERM, "no links here")))
    write_atomically(tmp_path / "a.irec", b"abc", overwrite=False)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"a.irec": b"abc"}


def test_refusals_say_what_is_wrong(tmp_path: Path, monkeypatch):
    with pytest.raises(OutputFileError, match="the folder does not exist"):
        write_atomically(tmp_path / "absent" / "a.irec", b"", overwrite=False)
    with pytest.raises(IrecError, match="it is a folder"):
        write_atomically(tmp_path, b"", overwrite=True)
    monkeypatch.setattr(Path, "open", fail_with(PermissionError(errno.EACCES, "no")))
    with pytest.raises(OutputFileError, match="permission denied"):
        write_atomically(tmp_path / "a.irec", b"", overwrite=False)


def test_permissions_follow_the_umask(tmp_path: Path):
    previous = os.umask(0o027)
    try:
        write_atomically(tmp_path / "a.irec", b"", overwrite=False)
    finally:
        os.umask(previous)
    assert (tmp_path / "a.irec").stat().st_mode & 0o777 == 0o640


def test_a_folder_takes_its_name_when_it_is_full(tmp_path: Path):
    with pytest.raises(ValueError, match="not yet"):
        fill(tmp_path / "store", ValueError("not yet"))
    assert list(tmp_path.iterdir()) == []
    fill(tmp_path / "store", None)
    assert [p.name for p in tmp_path.iterdir()] == ["store"]
    assert (tmp_path / "store" / "a").read_bytes() == b"abc"
    with pytest.raises(OutputFileError, match="store"):
        fill(tmp_path / "store", None)


def fill(folder: Path, error: Exception | None) -> None:
    with unfinished(folder) as temporary:
        temporary.mkdir()
        (temporary / "a").write_bytes(b"abc")
        if error:
            raise error


def test_files_that_belong_together_are_replaced_together(tmp_path: Path, monkeypatch):
    write_together(tmp_path / "new", {"a": b"1", "b": b"2"})
    monkeypatch.setattr(os, "fsync", fail_with(OSError(errno.ENOSPC, "No space")))
    with pytest.raises(OutputFileError, match="the disk is full"):
        write_together(tmp_path / "new", {"a": b"3", "b": b"4"})
    left = {p.name: p.read_bytes() for p in (tmp_path / "new").iterdir()}
    assert left == {"a": b"1", "b": b"2"}


def test_what_a_kill_leaves_behind_is_no_file_of_that_kind(tmp_path: Path):
    with unfinished(tmp_path / "a.irec") as temporary:
        temporary.write_bytes(b"half")
        assert not list(tmp_path.rglob("*.irec"))


KILLED = """
import os, signal, sys
from pathlib import Path
from irec.files import unfinished

with unfinished(Path(sys.argv[1])) as temporary:
    temporary.write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_kill_leaves_behind_goes_with_the_next_try(tmp_path: Path):
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "a.irec")], check=False)
    (left,) = tmp_path.iterdir()
    write_atomically(tmp_path / "b.irec", b"another", overwrite=False)
    assert left.exists()
    with unfinished(tmp_path / "a.irec") as temporary:
        temporary.write_bytes(b"first")
        # Of a process that is still at it nothing is removed.
        write_atomically(tmp_path / "a.irec", b"second", overwrite=False)
        assert temporary.exists()
    assert {p.name for p in tmp_path.iterdir()} == {"a.irec", "b.irec"}


def test_a_folder_is_listed_once_however_many_files_are_written(tmp_path: Path, monkeypatch):
    listed, scandir = [], os.scandir

    def counting(path="."):
        listed.append(str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", counting)
    monkeypatch.chdir(tmp_path)
    for number in range(5):
        write_atomically(tmp_path / f"{number}.irec", b"x", overwrite=False)
        write_atomically(Path(f"relative-{number}.irec"), b"x", overwrite=False)
    assert listed.count(str(tmp_path)) == 1


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root lists everything")
def test_a_folder_that_cannot_be_listed_is_written_to(tmp_path: Path):
    tmp_path.chmod(0o300)
    try:
        write_atomically(tmp_path / "a.irec", b"x", overwrite=False)
    finally:
        tmp_path.chmod(0o700)
    assert (tmp_path / "a.irec").read_bytes() == b"x"
