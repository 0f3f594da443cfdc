import io
import stat
import tarfile
import zipfile

import pytest

from irec.datamodules.archives import extract, members
from irec.errors import DataError

FILES = {"set/a.png": b"first", "set/inner/b.png": b"second" * 1000}
LIMIT = 1_000_000


def tar_info(name, **values):
    info = tarfile.TarInfo(name)
    for key, value in values.items():
        setattr(info, key, value)
    return info


def make_tar(path, files, extra=(), mode="w"):
    with tarfile.open(path, mode) as tar:
        for name, data in files.items():
            tar.addfile(tar_info(name, size=len(data)), io.BytesIO(data))
        for info in extra:
            tar.addfile(info)
    return path


def make_zip(path, files, links=()):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
        for name in links:
            info = zipfile.ZipInfo(name)
            info.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(info, "/etc/passwd")
    return path


def tree(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture(params=["zip", "tar", "tar.gz"])
def make(request, tmp_path):
    """Write an archive of one kind from names and contents."""
    path = tmp_path / f"archive.{request.param}"
    if request.param == "zip":
        return lambda files: make_zip(path, files)
    return lambda files: make_tar(path, files, mode="w:gz" if request.param == "tar.gz" else "w")


def test_the_folder_in_an_archive_gets_the_name(tmp_path, make):
    extract(make({**FILES, "__MACOSX/set/._a.png": b"clutter"}), tmp_path / "target", LIMIT)
    assert tree(tmp_path / "target") == {"a.png": b"first", "inner/b.png": b"second" * 1000}
    assert not list(tmp_path.glob("*.part"))


def test_files_at_the_top_stay_there(tmp_path, make):
    extract(make({"a.png": b"first", "b/c.png": b"second"}), tmp_path / "target", LIMIT)
    assert tree(tmp_path / "target") == {"a.png": b"first", "b/c.png": b"second"}


def test_what_is_there_already_stays(tmp_path, make):
    (tmp_path / "target").mkdir()
    (tmp_path / "target/mine").write_text("mine")
    extract(make(FILES), tmp_path / "target", LIMIT)
    assert tree(tmp_path / "target") == {"mine": b"mine"}


def test_what_a_stopped_run_left_is_replaced(tmp_path, make):
    (tmp_path / "target").mkdir()
    (tmp_path / "target.part").mkdir()
    (tmp_path / "target.part/half").touch()
    extract(make(FILES), tmp_path / "target", LIMIT)
    assert set(tree(tmp_path / "target")) == {"a.png", "inner/b.png"}


def refused(archive, tmp_path, words):
    with pytest.raises(DataError, match=words):
        extract(archive, tmp_path / "inner/target", LIMIT)
    assert not list((tmp_path / "inner").iterdir())
    assert not (tmp_path / "outside").exists()


@pytest.mark.parametrize(
    "name", ["../../outside", "set/../../../outside", "/outside", "c:/outside", "..\\outside"]
)
def test_names_that_point_outside_are_refused(tmp_path, make, name):
    refused(make({**FILES, name: b"hostile"}), tmp_path, "a name that points outside")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE])
def test_links_and_devices_in_tar_archives_are_refused(tmp_path, kind):
    link = tar_info("set/link", type=kind, linkname="../outside")
    refused(make_tar(tmp_path / "a.tar", FILES, [link]), tmp_path, "a link or a device")


def test_links_in_zip_archives_are_refused(tmp_path):
    refused(make_zip(tmp_path / "a.zip", FILES, ["set/link"]), tmp_path, "a link or a device")


def test_archives_that_unpack_to_too_much_are_refused(tmp_path, make):
    refused(make({"a": b"0" * LIMIT, "b": b"0"}), tmp_path, "more than 1,000,000 bytes")


def test_a_name_that_occurs_twice_is_refused(tmp_path):
    twice = tar_info("set/a.png")
    refused(make_tar(tmp_path / "a.tar", FILES, [twice]), tmp_path, "twice")


@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.7])
def test_damaged_archives_leave_nothing(tmp_path, make, keep):
    archive = make({"a": bytes(range(256)) * 100, "b": bytes(range(256)) * 100})
    data = archive.read_bytes()
    archive.write_bytes(data[: keep if keep >= 1 else int(keep * len(data))])
    refused(archive, tmp_path, "damaged")


def test_flipped_bits_in_zip_archives_are_seen(tmp_path):
    archive = make_zip(tmp_path / "a.zip", {"a": bytes(range(256)) * 100})
    data = bytearray(archive.read_bytes())
    data[100] ^= 1
    archive.write_bytes(data)
    refused(archive, tmp_path, "damaged")


def test_members_come_one_by_one(tmp_path, make):
    read = {str(member.name): member.read() for member in members(make(FILES), LIMIT)}
    assert read == FILES
