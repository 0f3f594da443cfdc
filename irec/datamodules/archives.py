"""Archives as files of bytes: what is in them is read, and nothing is unpacked to the disk."""

import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath

from irec.errors import DataError

# What the standard library raises for damaged, encrypted and unknown archives.
_DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    RuntimeError,
    ValueError,
)

# Of zip archives: Python unpacks a block of other methods whole before it looks at its size.
BOUNDED_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)

# Of tar archives: what holds long names and comments, and how much of them there may be.
_LONG_HEADERS = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)
_MAX_HEADER_BYTES = 1 << 20

# Folders in which macOS keeps what belongs to no file.
_CLUTTER = "__MACOSX"

# Name, size in bytes, and what reads it before the next one is asked for.
_Member = tuple[PurePosixPath, int, Callable[[], bytes]]


def members(
    archive: Path, max_bytes: int, is_wanted: Callable[[PurePosixPath], bool]
) -> Iterator[tuple[PurePosixPath, bytes]]:
    """Read ordinary files of a tar (of any compression) or zip archive, in its order.

    Args:
        archive: The file.
        max_bytes: Bound on the unpacked size of all members together.
        is_wanted: Says of a name whether that member is read.

    Yields:
        Names, as the archive says, not to be used as paths; and all bytes, verified where the
        archive holds checksums (zip).

    Raises:
        DataError: The archive is damaged or too large.
    """
    n_bytes = 0
    found = _zip_members(archive) if archive.suffix == ".zip" else _tar_members(archive)
    try:
        for name, size, read in found:
            n_bytes += size
            if n_bytes > max_bytes:
                raise DataError(f"{archive}: unpacks to more than {max_bytes:,} bytes; refused")
            if name.parts[:1] != (_CLUTTER,) and is_wanted(name):
                data = read()
                if len(data) != size:
                    raise EOFError(f"{name} ends early")
                yield name, data
    except _DAMAGE as error:
        raise DataError(
            f"{archive}: damaged, or not an archive ({error}); delete it and fetch it again"
        ) from error


def _zip_members(archive: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(archive) as file:
        for info in file.infolist():
            if info.compress_type not in BOUNDED_METHODS:
                raise ValueError(f"{info.filename} is neither stored nor deflated")
            if not info.is_dir():
                read = partial(file.read, info)
                yield PurePosixPath(info.filename), info.file_size, read


def _tar_members(archive: Path) -> Iterator[_Member]:
    with tarfile.open(archive, tarinfo=_BoundedHeader) as file:
        while (info := file.next()) is not None:
            # Or the tar file remembers all of what may be a million members.
            file.members.clear()  # type: ignore[attr-defined]
            if info.issparse():
                raise ValueError(f"{info.name} is sparse")
            data = file.extractfile(info) if info.isreg() else None
            if data is not None:
                yield PurePosixPath(info.name), info.size, data.read


class _BoundedHeader(tarfile.TarInfo):
    """A header no larger than any in earnest: tarfile reads as much of it as it claims to have."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_BoundedHeader":
        info = super().frombuf(buf, encoding, errors)
        if info.type in _LONG_HEADERS and not 0 <= info.size <= _MAX_HEADER_BYTES:
            raise ValueError(f"a header of {info.size:,} bytes")
        return info
