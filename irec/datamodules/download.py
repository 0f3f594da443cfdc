"""Downloads that go on where they stopped and take their name only when they are whole.

What arrives is kept in ``NAME.part`` until its checksum is verified; a connection that is cut, and
a run that is stopped, lose nothing but the last megabyte. Parts of two versions of a file could be
joined only where the publisher changes it in between; the checksum, or the archive's own, sees it.
"""

import contextlib
import functools
import hashlib
import http.client
import os
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from irec.errors import DataError
from irec.terminal import bytes_bar

# Before each further attempt after a cut connection; there are no others.
RETRY_DELAYS_S = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0)
TIMEOUT_S = 60.0
CHUNK_BYTES = 1 << 20

# Answers of a server that is busy, not of one that has no such file.
_TRANSIENT_STATUS = {408, 425, 429, 500, 502, 503, 504}


@dataclass(frozen=True)
class RemoteFile:
    """A file that a publisher offers.

    Attributes:
        url: Where; the last part is the file's name.
        checksum: "md5:..." or "sha256:..." in hexadecimal; empty where there is none.
        note: What to know about it if it has to be fetched by hand; a clause without full stop.
    """

    url: str
    checksum: str = ""
    note: str = ""

    @property
    def name(self) -> str:
        """The file's name."""
        return self.url.rpartition("/")[2]


def obtain(file: RemoteFile, folder: Path, download: bool) -> Path:
    """Find a file in `folder`, or download it; either way its checksum is verified.

    Args:
        file: What to find.
        folder: Where it lies or is put; created for a download.
        download: Whether it is downloaded if it is absent.

    Returns:
        The file's path.

    Raises:
        DataError: It is absent, cannot be had, or has another checksum; the message says what to
            put where.
    """
    path = folder / file.name
    if path.exists():
        if problem := _mismatch(path, file.checksum):
            raise DataError(f"{path}: {problem}; delete it and fetch it again")
        return path
    by_hand = f"put {file.name} into {folder}" + (f" ({file.note})" if file.note else "")
    if not download:
        raise DataError(
            f"{path}: absent, and downloads are switched off; allow them, or {by_hand}; "
            f"it was published as {file.url}"
        )
    try:
        _download(file, path)
    except DataError as error:
        raise DataError(f"{error}; where it cannot be downloaded, {by_hand}") from error
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror or error}") from error
    return path


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Let one process at a time fill `folder`, which is created.

    Raises:
        DataError: The folder cannot be created or written to.
    """
    with contextlib.ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(FileLock(folder / ".irec.lock"))
        except OSError as error:
            raise DataError(f"cannot write to {folder}: {error.strerror or error}") from error
        yield


def require_space(folder: Path, n_bytes: int) -> None:
    """Refuse early what the disk cannot hold.

    Raises:
        DataError: Fewer than `n_bytes` are free.
    """
    free = shutil.disk_usage(folder).free
    if free < n_bytes:
        raise DataError(
            f"{folder}: the disk is too full ({n_bytes / 1e9:.1f} GB needed, {free / 1e9:.1f} free)"
        )


class _InterruptedError(Exception):
    """The connection ended early; another attempt may go on from there."""


class _UnreachableError(_InterruptedError):
    """No connection came about."""


def _download(file: RemoteFile, path: Path) -> None:
    """Fill `path`, in as many attempts as RETRY_DELAYS_S allows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    with bytes_bar() as bar:
        show = functools.partial(bar.update, bar.add_task(file.name, total=None))
        for attempt, delay in enumerate((*RETRY_DELAYS_S, None)):
            try:
                _receive(file.url, part, show)
                break
            except _InterruptedError as error:
                # Who has no network at all should not wait for further attempts.
                if attempt == 0 and isinstance(error, _UnreachableError):
                    raise DataError(f"{file.url}: no connection ({error})") from error
                if delay is None:
                    raise DataError(
                        f"{file.url}: cut off {attempt + 1} times ({error}); what has arrived is "
                        "kept, so the same command goes on from there"
                    ) from error
                time.sleep(delay)
    if problem := _mismatch(part, file.checksum):
        part.unlink()
        raise DataError(f"{file.url}: {problem}; what had arrived is thrown away")
    os.replace(part, path)


def _mismatch(path: Path, checksum: str) -> str | None:
    """Return what is wrong with a file; without a checksum nothing is known to be."""
    if not checksum:
        return None
    kind, _, expected = checksum.partition(":")
    with path.open("rb") as data:
        actual = hashlib.file_digest(data, kind).hexdigest()
    if actual == expected:
        return None
    return f"damaged, or not the published file ({kind} is {actual}, expected {expected})"


def _receive(url: str, part: Path, show: Callable[..., None]) -> None:
    """Append to `part` what of the file is missing.

    Raises:
        _InterruptedError: The connection ended early.
        DataError: The server has no such file.
        OSError: It cannot be written.
    """
    n_bytes = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "irec"} | ({"Range": f"bytes={n_bytes}-"} if n_bytes else {})
    try:
        request = urllib.request.Request(url, headers=headers)
        response = urllib.request.urlopen(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416 and _is_whole(error, part, n_bytes):
                return
            raise _explained(error, url) from error
    except (OSError, http.client.HTTPException) as error:
        raise _UnreachableError(str(getattr(error, "reason", error))) from error
    with response:
        if response.headers.get_content_type() == "text/html":
            raise DataError(f"{url}: the server sends a web page, not the file")
        # A server may ignore that only the rest was asked for.
        n_bytes = n_bytes if response.status == 206 else 0
        total = None if response.length is None else n_bytes + response.length
        require_space(part.parent, (total or n_bytes) - n_bytes)
        with part.open("ab" if n_bytes else "wb") as out:
            for chunk in _chunks(response):
                out.write(chunk)
                n_bytes += len(chunk)
                show(completed=n_bytes, total=total)
    if total is not None and n_bytes < total:
        raise _InterruptedError(f"{n_bytes:,} of {total:,} bytes arrived")


def _is_whole(error: urllib.error.HTTPError, part: Path, n_bytes: int) -> bool:
    """Whether no byte follows because all are there; if not, `part` belongs to another file."""
    length = re.fullmatch(r"bytes \*/(\d+)", error.headers.get("Content-Range", ""))
    if length is not None and int(length[1]) == n_bytes:
        return True
    part.unlink(missing_ok=True)
    raise _InterruptedError("the file on the server has changed") from error


def _explained(error: urllib.error.HTTPError, url: str) -> Exception:
    if error.code in _TRANSIENT_STATUS:
        return _InterruptedError(f"HTTP {error.code} {error.reason}")
    return DataError(f"{url}: the server does not give it (HTTP {error.code} {error.reason})")


def _chunks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    while True:
        try:
            chunk = response.read(CHUNK_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise _InterruptedError(str(error) or type(error).__name__) from error
        if not chunk:
            return
        yield chunk
