import hashlib
import shutil
import threading
from collections import namedtuple

import numpy as np
import pytest

from irec.datamodules import download
from irec.datamodules.download import RemoteFile, locked, obtain
from irec.errors import DataError

DATA = np.random.default_rng(0).bytes(100_000)
CHECKSUM = f"sha256:{hashlib.sha256(DATA).hexdigest()}"


@pytest.fixture
def file(publisher):
    publisher.files["data.zip"] = DATA
    return RemoteFile(publisher.url("data.zip"), CHECKSUM, "ask the author")


def ranges(publisher):
    return [wanted for _, wanted in publisher.requests]


@pytest.mark.parametrize("checksum", ["", CHECKSUM, f"md5:{hashlib.md5(DATA).hexdigest()}"])
def test_a_file_is_downloaded_once(tmp_path, publisher, file, checksum):
    file = RemoteFile(file.url, checksum)
    for _ in range(2):
        path = obtain(file, tmp_path / "new/folder", download=True)
        assert path == tmp_path / "new/folder/data.zip"
        assert path.read_bytes() == DATA
    assert ranges(publisher) == [None]
    assert [path.name for path in path.parent.iterdir()] == ["data.zip"]


def test_a_cut_connection_is_taken_up_where_it_was_cut(tmp_path, publisher, file):
    publisher.cut_after = [30_000, 50_000]
    assert obtain(file, tmp_path, download=True).read_bytes() == DATA
    assert ranges(publisher) == [None, "bytes=30000-", "bytes=80000-"]


def test_a_stopped_run_is_taken_up_by_the_next(tmp_path, publisher, file, monkeypatch):
    monkeypatch.setattr(download, "RETRY_DELAYS_S", ())
    publisher.cut_after = [30_000]
    with pytest.raises(DataError, match=r"cut off 1 times \(30,000 of 100,000 bytes arrived\)"):
        obtain(file, tmp_path, download=True)
    assert not (tmp_path / "data.zip").exists()
    assert obtain(file, tmp_path, download=True).read_bytes() == DATA
    assert ranges(publisher) == [None, "bytes=30000-"]


def test_attempts_are_bounded(tmp_path, publisher, file):
    publisher.cut_after = [100] * 100
    with pytest.raises(DataError, match=r"cut off 4 times .* goes on from there"):
        obtain(file, tmp_path, download=True)
    assert len(publisher.requests) == 4
    assert (tmp_path / "data.zip.part").stat().st_size == 400


def test_a_server_that_sends_no_parts_is_asked_for_all(tmp_path, publisher, file):
    publisher.knows_ranges = False
    publisher.cut_after = [30_000]
    assert obtain(file, tmp_path, download=True).read_bytes() == DATA
    assert ranges(publisher) == [None, "bytes=30000-"]


def test_a_length_need_not_be_known(tmp_path, publisher, file):
    publisher.sends_length = False
    assert obtain(file, tmp_path, download=True).read_bytes() == DATA


def test_a_part_that_is_the_whole_is_taken(tmp_path, publisher, file):
    (tmp_path / "data.zip.part").write_bytes(DATA)
    assert obtain(file, tmp_path, download=True).read_bytes() == DATA
    assert ranges(publisher) == ["bytes=100000-"]


def test_a_part_of_another_file_is_thrown_away(tmp_path, publisher, file):
    (tmp_path / "data.zip.part").write_bytes(DATA + b"more")
    assert obtain(file, tmp_path, download=True).read_bytes() == DATA
    assert ranges(publisher) == ["bytes=100004-", None]


def test_a_busy_server_is_asked_again(tmp_path, publisher, file):
    publisher.statuses = [503, 429]
    assert obtain(file, tmp_path, download=True).read_bytes() == DATA


def test_a_wrong_checksum_takes_no_name(tmp_path, publisher, file):
    publisher.files["data.zip"] = DATA[:-1] + b"?"
    with pytest.raises(DataError, match=r"sha256 is .*, expected .*thrown away; .*put data\.zip"):
        obtain(file, tmp_path, download=True)
    assert not list(tmp_path.iterdir())


def test_a_file_put_there_is_verified(tmp_path, publisher, file):
    (tmp_path / "data.zip").write_bytes(b"another")
    with pytest.raises(DataError, match=r"data\.zip: .*not the published file.*delete it"):
        obtain(file, tmp_path, download=True)
    assert not publisher.requests


@pytest.mark.parametrize(("status", "words"), [(404, "HTTP 404 Not Found"), (403, "HTTP 403")])
def test_what_the_server_does_not_give_is_to_be_put_by_hand(
    tmp_path, publisher, file, status, words
):
    publisher.statuses = [status]
    with pytest.raises(DataError, match=rf"{words}.*put data\.zip into .*\(ask the author\)"):
        obtain(file, tmp_path, download=True)
    assert len(publisher.requests) == 1


def test_a_page_that_asks_for_a_password_is_no_data(tmp_path, publisher, file):
    publisher.content_type = "text/html; charset=utf-8"
    with pytest.raises(DataError, match="sends a web page"):
        obtain(file, tmp_path, download=True)


@pytest.mark.parametrize("host", ["127.0.0.1:9", "no-such-host.invalid"])
def test_without_a_network_nobody_waits(tmp_path, monkeypatch, host):
    monkeypatch.setattr(download.time, "sleep", lambda _: pytest.fail("waits"))
    with pytest.raises(DataError, match=r"no connection .*put data\.zip into"):
        obtain(RemoteFile(f"http://{host}/data.zip"), tmp_path, download=True)


def test_nothing_is_downloaded_unasked(tmp_path, publisher, file):
    with pytest.raises(DataError, match=r"absent, .*put data\.zip into .*published as http"):
        obtain(file, tmp_path / "absent", download=False)
    assert not publisher.requests
    assert not (tmp_path / "absent").exists()


def test_a_full_disk_is_named(tmp_path, publisher, file, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: namedtuple("usage", "free")(99_999))
        with pytest.raises(DataError, match="the disk is too full"):
            obtain(file, tmp_path, download=True)
    (tmp_path / "data.zip.part").symlink_to("/dev/full")
    with pytest.raises(DataError, match=r"cannot write .*data\.zip: No space left"):
        obtain(file, tmp_path, download=True)


def test_a_folder_that_cannot_be_made_is_named(tmp_path, file):
    (tmp_path / "data").write_text("a file")
    with pytest.raises(DataError, match="cannot write"):
        obtain(file, tmp_path / "data/cifar10", download=True)
    with pytest.raises(DataError, match="cannot write to"), locked(tmp_path / "data/cifar10"):
        pass


def test_one_process_at_a_time_fills_a_folder(tmp_path):
    order = []

    def work():
        with locked(tmp_path / "data"):
            order.append("second")

    with locked(tmp_path / "data"):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join(0.1)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_a_bar_is_drawn_for_terminals_only(tmp_path, file, capsys):
    obtain(file, tmp_path, download=True)
    assert capsys.readouterr() == ("", "")
