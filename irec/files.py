"""Files: there whole or not at all, with errors that say why, and known by a fingerprint."""

import contextlib
import errno
import functools
import hashlib
import json
import os
import platform
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from irec.errors import DataError, OutputFileError

FINGERPRINT_BYTES = 3
# See `_mark_of`.
_TEMPORARY = re.compile(r"(\.irec-[0-9a-f]{16}-[0-9a-f]{8})-([0-9]{1,9})-[0-9a-f]{8}\.tmp")


def write_atomically(path: Path | str, data: bytes | str, *, overwrite: bool) -> None:
    """Write a file so that it is there completely or not at all, even if the machine stops.

    Args:
        path: Where to write; its folder must exist.
        data: The file's contents; text becomes UTF-8.
        overwrite: Whether an existing file is replaced.

    Raises:
        OutputFileError: The file exists and `overwrite` is false, or the system refuses.
    """
    path = Path(path)
    if not overwrite and path.exists():
        raise OutputFileError(f"{path} exists already; say so if it is to be overwritten")
    with unfinished(path, overwrite=overwrite) as temporary, temporary.open("xb") as file:
        file.write(data.encode() if isinstance(data, str) else data)


def write_json(path: Path, document: Any) -> None:
    """Write strict JSON in place of an existing file; errors as of :func:`write_atomically`."""
    text = json.dumps(document, indent=2, allow_nan=False)
    write_atomically(path, text + "\n", overwrite=True)


def write_together(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write files of a folder, none of which is of use without the others.

    Names are taken only once all contents are on disk.

    Args:
        folder: Created where it does not exist.
        contents: By name; existing files are replaced, in this order.

    Raises:
        OutputFileError: The system refuses.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputFileError(f"cannot create {folder}: {_reason(error)}") from error
    with contextlib.ExitStack() as stack:
        # Left in reverse order.
        for name, data in reversed(list(contents.items())):
            stack.enter_context(unfinished(folder / name)).write_bytes(data)


@contextlib.contextmanager
def unfinished(
    path: Path, *, overwrite: bool = True, is_only_writer: bool = False
) -> Iterator[Path]:
    """Lend a temporary path for a file or a folder, which takes its name when the block is done.

    What was written there is forced to disk before. Whatever goes wrong on the way, Ctrl-C
    included, it is removed; what a killed process left of the same file goes with the next try.

    Args:
        path: That the file or folder is to have; its own folder must exist.
        overwrite: Whether an existing file is replaced; of folders, none is.
        is_only_writer: Whether nobody else can be writing the same: then what a killed process
            left is found and removed.

    Yields:
        A path in the same folder.

    Raises:
        OutputFileError: The system refuses, or `overwrite` is false and the name is taken.
    """
    # Of no suffix that a search for finished files looks for: a kill may leave it behind.
    mark = _mark_of(path)
    unique = f".{path.name}.part" if is_only_writer else f"{mark}-{secrets.token_hex(4)}.tmp"
    temporary = path.with_name(unique)
    try:
        _remove(temporary)
        _remove_leftovers(path)
        yield temporary
        _sync(temporary)
        if overwrite:
            os.replace(temporary, path)
        else:
            _rename_without_replacing(temporary, path)
        _sync(path.parent)
    except FileExistsError as error:
        raise OutputFileError(f"{path} appeared while it was being written; kept as it is") from (
            error
        )
    except OSError as error:
        raise OutputFileError(f"cannot write {path}: {_reason(error)}") from error
    finally:
        # After a rename there is nothing left to remove.
        with contextlib.suppress(OSError):
            _remove(temporary)


def _mark_of(path: Path) -> str:
    """Return what temporary names of a path begin with, in this process of this machine."""
    machine = hashlib.sha256(platform.node().encode()).hexdigest()[:8]
    name = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]
    return f".irec-{name}-{machine}-{os.getpid()}"


def _remove_leftovers(path: Path) -> None:
    """Remove what processes of this machine that are no more have left of the same file."""
    if os.name != "posix":
        return  # elsewhere a signal of 0 is not a mere question
    start, own = _mark_of(path).rsplit("-", 1)
    leftovers = _leftovers(os.path.abspath(path.parent), os.getpid())
    for name, number in leftovers.pop(start, []):
        if str(number) != own and not _is_running(number):
            _remove(path.with_name(name))


@functools.lru_cache(maxsize=64)
def _leftovers(folder: str, _process: int) -> dict[str, list[tuple[str, int]]]:
    """Temporary files in a folder as this process first saw it; to list it anew is dear.

    Returns:
        By what their names begin with, their names and the numbers of their processes.
    """
    found: dict[str, list[tuple[str, int]]] = {}
    # Whoever may write into a folder may not be allowed to list it.
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if match := _TEMPORARY.fullmatch(entry.name):
                found.setdefault(match[1], []).append((entry.name, int(match[2])))
    return found


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True  # somebody else's
    return True


def read_file(path: Path) -> bytes:
    """Return a file's bytes.

    Raises:
        DataError: It cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def fingerprint(contents: Iterable[bytes]) -> bytes:
    """Return the first 24 bits of the SHA-256 over files' contents, one after the other."""
    digest = hashlib.sha256()
    for data in contents:
        digest.update(data)
    return digest.digest()[:FINGERPRINT_BYTES]


def _rename_without_replacing(source: Path, target: Path) -> None:
    """Give a file its name unless another process took the name in the meantime."""
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:
        # File systems without hard links (FAT, some network shares): a small window remains.
        if target.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from None
        os.replace(source, target)


def _sync(path: Path) -> None:
    """Force a file, or a folder's names, to disk."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        if path.is_dir():
            return  # where folders cannot be opened (Windows) it is best effort
        raise
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
