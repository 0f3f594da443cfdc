import gzip
import io
import tarfile
import tracemalloc
import zipfile

import pytest

from irec.datamodules.archives import members
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


def make_zip(path, files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


@pytest.fixture(params=["zip", "tar", "tar.gz"])
def make(request, tmp_path):
    """Write an archive of one kind from names and contents."""
    path = tmp_path / f"archive.{request.param}"
    if request.param == "zip":
        return lambda files: make_zip(path, files)
    return lambda files: make_tar(path, files, mode="w:gz" if request.param == "tar.gz" else "w")


def read_all(archive):
    found = members(archive, LIMIT, lambda name: name.name != "unwanted")
    return {str(name): data for name, data in found}


def refused(archive, words):
    with pytest.raises(DataError, match=words):
        read_all(archive)


def test_members_come_one_by_one(make):
    others = {"__MACOSX/set/._a.png": b"clutter", "set/unwanted": b"?"}
    assert read_all(make(FILES | others)) == FILES


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE])
def test_what_is_no_file_in_tar_archives_is_left_out(tmp_path, kind):
    link = tar_info("set/link", type=kind, linkname="../outside")
    assert read_all(make_tar(tmp_path / "a.tar", FILES, [link])) == FILES


def test_archives_that_unpack_to_too_much_are_refused(make):
    refused(make({"a": b"0" * LIMIT, "b": b"0"}), "more than 1,000,000 bytes")


@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.7])
def test_damaged_archives_are_named(make, keep):
    archive = make({"a": bytes(range(256)) * 100, "b": bytes(range(256)) * 100})
    data = archive.read_bytes()
    archive.write_bytes(data[: keep if keep >= 1 else int(keep * len(data))])
    refused(archive, "damaged")


def test_flipped_bits_in_zip_archives_are_seen(tmp_path):
    archive = make_zip(tmp_path / "a.zip", {"a": bytes(range(256)) * 100})
    data = bytearray(archive.read_bytes())
    data[100] ^= 1
    archive.write_bytes(data)
    refused(archive, "damaged")


@pytest.mark.parametrize("mode", ["w:bz2", "w:xz"])
def test_tar_archives_of_other_compressions(tmp_path, mode):
    assert read_all(make_tar(tmp_path / "a.tar", FILES, mode=mode)) == FILES


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_zip_methods_that_unpack_without_bound_are_refused(tmp_path, method):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("a", b"0" * 100_000)
    refused(path, "neither stored nor deflated")


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE])
def test_headers_of_any_claimed_size_are_refused_unread(tmp_path, kind):
    path = tmp_path / "a.tar"
    header = tar_info("x", type=kind, size=50_000_000).tobuf()
    with gzip.open(path, "wb") as file:
        file.write(header + bytes(50_000_000))
    tracemalloc.start()
    try:
        refused(path, "a header of 50,000,")
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_sparse_members_are_refused(tmp_path):
    path = tmp_path / "a.tar"
    path.write_bytes(tar_info("x", type=tarfile.GNUTYPE_SPARSE, size=0).tobuf() + bytes(10240))
    refused(path, "sparse")
