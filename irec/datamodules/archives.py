"""Archives as files of bytes: nothing in them decides where on the disk anything goes.

Of a tar or zip archive only folders and ordinary files are taken, and only under names that stay
inside the archive; links, devices and such names are refused, not repaired. Sizes are bounded
before anything is unpacked.
"""

import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from irec.datamodules.download import require_space
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
        archive: that it is in.
        name: relative, without "..".
        size: in bytes.
    """

    archive: Path
    name: PurePosixPath
    size: int
    _read: Callable[[], bytes]

    def read(self) -> bytes:
        """All bytes, verified where the archive holds checksums (zip).

        Raises:
            DataError: they are damaged.
        """
        try:
            data = self._read()
        except _DAMAGE as error:
            raise _damaged(self.archive, error) from error
        if len(data) != self.size:
            raise _damaged(self.archive, f"{self.name} ends early")
        return data


def members(archive: Path, max_bytes: int) -> Iterator[Member]:
    """All ordinary files of a tar (of any compression) or zip archive, in its order.

    Args:
        archive: the file; a member has to be read before the next one is asked for.
        max_bytes: bound on the unpacked size of all members together.

    Raises:
        DataError: the archive is damaged, too large, or holds anything but files and folders with
            names inside it.
    """
    n_bytes = 0
    try:
        for member in _zip_members(archive) if archive.suffix == ".zip" else _tar_members(archive):
            n_bytes += member.size
            if n_bytes > max_bytes:
                raise DataError(f"{archive}: unpacks to more than {max_bytes:,} bytes; refused")
            yield member
    except _DAMAGE as error:
        raise _damaged(archive, error) from error


def extract(archive: Path, target: Path, max_bytes: int) -> None:
    """Unpack an archive into the folder `target`, completely or not at all.

    The only folder at the top of an archive is left out: its contents are what `target` holds. A
    `target` that holds something already is left as it is.

    Args:
        archive: tar or zip.
        target: gets its name when everything is in it.
        max_bytes: bound on the unpacked size.

    Raises:
        DataError: as :func:`members`; or the disk is full.
    """
    if target.is_dir() and any(target.iterdir()):
        return
    part = target.with_name(f"{target.name}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        require_space(part, archive.stat().st_size)
        for member in members(archive, max_bytes):
            path = part / member.name
            data = member.read()
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as out:
                out.write(data)
        if target.exists():
            target.rmdir()
        _content(part).rename(target)
    except FileExistsError as error:
        raise _damaged(archive, f"holds {error.filename} twice") from error
    except OSError as error:
        raise DataError(f"{archive}: cannot unpack it to {target} ({error})") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _content(folder: Path) -> Path:
    """`folder`, or the only folder in it."""
    entries = list(folder.iterdir())
    return entries[0] if len(entries) == 1 and entries[0].is_dir() else folder


def _zip_members(archive: Path) -> Iterator[Member]:
    with zipfile.ZipFile(archive) as file:
        for info in file.infolist():
            name = _checked_name(archive, info.filename)
            # The upper half holds Unix's mode, or nothing where no Unix made the archive.
            kind = stat.S_IFMT(info.external_attr >> 16)
            if info.is_dir() or name.parts[:1] == (_CLUTTER,):
                continue
            if kind not in (0, stat.S_IFREG):
                raise _refused(archive, info.filename, "a link or a device")
            yield Member(archive, name, info.file_size, lambda info=info: file.read(info))


def _tar_members(archive: Path) -> Iterator[Member]:
    with tarfile.open(archive) as file:
        while (info := file.next()) is not None:
            # Or the tar file remembers all of what may be a million members.
            file.members.clear()  # type: ignore[attr-defined]
            name = _checked_name(archive, info.name)
            if info.isdir() or name.parts[:1] == (_CLUTTER,):
                continue
            if not info.isreg():
                raise _refused(archive, info.name, "a link or a device")
            data = file.extractfile(info)
            assert data is not None, "isreg() said that it has contents"
            yield Member(archive, name, info.size, data.read)


def _checked_name(archive: Path, name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    # Backslashes and colons mean something to Windows only, and occur in no data set.
    if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name:
        raise _refused(archive, name, "a name that points outside")
    return path


def _refused(archive: Path, name: str, what: str) -> DataError:
    return DataError(f"{archive}: holds {what} ({name!r}); nothing was unpacked, do not trust it")


def _damaged(archive: Path, why: object) -> DataError:
    return DataError(f"{archive}: damaged, or not an archive ({why}); delete it and fetch it again")
