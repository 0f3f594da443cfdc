"""Files written whole or not at all."""

import contextlib
import errno
import os
import secrets
from pathlib import Path

from irec.errors import IrecError


class OutputFileError(IrecError):
    """A file could not be written: it exists, the disk is full, or permission is missing."""


def write_atomically(path: Path | str, data: bytes, *, overwrite: bool) -> None:
    """Writes a file so that it is there completely or not at all, even if the machine stops.

    The bytes go to a temporary file in the same folder, are forced to disk, and only then take the
    name. Whatever goes wrong on the way, Ctrl-C included, the temporary file is removed.

    Args:
        path: Where to write; its folder must exist.
        data: The file's contents.
        overwrite: Whether an existing file is replaced.

    Raises:
        OutputFileError: The file exists and ``overwrite`` is false, or the system refuses.
    """
    path = Path(path)
    if not overwrite and path.exists():
        raise OutputFileError(f"{path} exists already; say so if it is to be overwritten")
    temporary = path.with_name(f".irec-{secrets.token_hex(8)}.tmp")
    try:
        _write_and_sync(temporary, data)
        if overwrite:
            os.replace(temporary, path)
        else:
            _rename_without_replacing(temporary, path)
        _sync_folder(path.parent)
    except FileExistsError as error:
        raise OutputFileError(f"{path} appeared while it was being written; kept as it is") from (
            error
        )
    except OSError as error:
        raise OutputFileError(f"cannot write {path}: {_reason(error)}") from error
    finally:
        # After a rename there is nothing left to remove.
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _write_and_sync(path: Path, data: bytes) -> None:
    # Mode "x", not tempfile: the file gets the permissions that the user's umask says.
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _rename_without_replacing(source: Path, target: Path) -> None:
    """Gives a file its name unless another process took the name in the meantime."""
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:
        # File systems without hard links (FAT, some network shares): a small window remains.
        if target.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from None
        os.replace(source, target)


def _sync_folder(folder: Path) -> None:
    """Forces the new name to disk; where folders cannot be opened (Windows) it is best effort."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _reason(error: OSError) -> str:
    reasons = {
        errno.ENOSPC: "the disk is full",
        errno.EDQUOT: "the disk quota is used up",
        errno.EACCES: "permission denied",
        errno.EPERM: "permission denied",
        errno.EROFS: "the file system is read-only",
        errno.ENOENT: "the folder does not exist",
        errno.ENOTDIR: "its folder is a file",
        errno.EISDIR: "it is a folder",
        errno.ENAMETOOLONG: "the name is too long",
    }
    return reasons.get(error.errno or 0, error.strerror or str(error))
