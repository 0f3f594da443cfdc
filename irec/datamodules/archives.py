"""Archives as files of bytes: what is in them is read, and nothing is unpacked to the disk."""

import bz2
import gzip
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

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

_COMPRESSIONS: dict[bytes, Callable[[Path], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}
# Of a tar archive: long names and comments.
_MAX_HEADER_BYTES = 1 << 20

# Folders in which macOS keeps what belongs to no file.
_CLUTTER = "__MACOSX"


@dataclass(frozen=True)
class Member:
    """An ordinary file in an archive.

    Attributes:
        archive: That it is in.
        name: As the archive says; not to be used as a path.
        size: In bytes.
    """

    archive: Path
    name: PurePosixPath
    size: int
    _read: Callable[[], bytes]

    def read(self) -> bytes:
        """Return all bytes, verified where the archive holds checksums (zip).

        Raises:
            DataError: They are damaged.
        """
        try:
            data = self._read()
        except _DAMAGE as error:
            raise _damaged(self.archive, error) from error
        if len(data) != self.size:
            raise _damaged(self.archive, f"{self.name} ends early")
        return data


def members(archive: Path, max_bytes: int) -> Iterator[Member]:
    """Yield the ordinary files of a tar (of any compression) or zip archive, in its order.

    Args:
        archive: The file; a member has to be read before the next one is asked for.
        max_bytes: Bound on the unpacked size of all members together.

    Raises:
        DataError: The archive is damaged or too large.
    """
    n_bytes = 0
    try:
        for member in _zip_members(archive) if archive.suffix == ".zip" else _tar_members(archive):
            n_bytes += member.size
            if n_bytes > max_bytes:
                raise DataError(f"{archive}: unpacks to more than {max_bytes:,} bytes; refused")
            if member.name.parts[:1] != (_CLUTTER,):
                yield member
    except _DAMAGE as error:
        raise _damaged(archive, error) from error


def _zip_members(archive: Path) -> Iterator[Member]:
    with zipfile.ZipFile(archive) as file:
        for info in file.infolist():
            if info.compress_type not in BOUNDED_METHODS:
                raise ValueError(f"{info.filename} is neither stored nor deflated")
            if not info.is_dir():
                name, read = PurePosixPath(info.filename), lambda info=info: file.read(info)
                yield Member(archive, name, info.file_size, read)


def _tar_members(archive: Path) -> Iterator[Member]:
    with _unpacked(archive) as stream:
        guarded = _Guarded(stream)
        file = tarfile.open(fileobj=guarded, mode="r:")  # type: ignore[call-overload] # noqa: SIM115
        while (info := file.next()) is not None:
            # Or the tar file remembers all of what may be a million members.
            file.members.clear()
            if info.issparse():
                raise ValueError(f"{info.name} is sparse")
            data = file.extractfile(info) if info.isreg() else None
            if data is not None:
                yield Member(
                    archive,
                    PurePosixPath(info.name),
                    info.size,
                    lambda data=data: guarded.without_bound(data.read),
                )


def _unpacked(archive: Path) -> Any:
    """Open a tar file's bytes, whatever they are compressed with."""
    with archive.open("rb") as file:
        start = file.read(6)
    for magic, opener in _COMPRESSIONS.items():
        if start.startswith(magic):
            return opener(archive)
    return archive.open("rb")


class _Guarded:
    """A file whose headers cannot be larger than any in earnest: tarfile reads what they claim."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._is_bounded = True
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        if self._is_bounded and not 0 <= size <= _MAX_HEADER_BYTES:
            raise ValueError(f"a header of {size:,} bytes")
        data: bytes = self._file.read(size)
        return data

    def without_bound(self, read: Callable[[], bytes]) -> bytes:
        """Call `read`, which reads a member, whose size is bounded already."""
        self._is_bounded = False
        try:
            return read()
        finally:
            self._is_bounded = True


def _damaged(archive: Path, why: object) -> DataError:
    return DataError(f"{archive}: damaged, or not an archive ({why}); delete it and fetch it again")
