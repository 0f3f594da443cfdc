"""Archives as files of bytes: what is in them is read, and nothing is unpacked to the disk."""

import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
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
            if not info.is_dir():
                name, read = PurePosixPath(info.filename), lambda info=info: file.read(info)
                yield Member(archive, name, info.file_size, read)


def _tar_members(archive: Path) -> Iterator[Member]:
    with tarfile.open(archive) as file:
        while (info := file.next()) is not None:
            # Or the tar file remembers all of what may be a million members.
            file.members.clear()  # type: ignore[attr-defined]
            data = file.extractfile(info) if info.isreg() else None
            if data is not None:
                yield Member(archive, PurePosixPath(info.name), info.size, data.read)


def _damaged(archive: Path, why: object) -> DataError:
    return DataError(f"{archive}: damaged, or not an archive ({why}); delete it and fetch it again")
