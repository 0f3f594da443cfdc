"""What commands read from and write to: files, and ``-`` for the standard input and output."""

import os
import sys
from pathlib import Path

from irec.errors import DataError
from irec.files import OutputFileError, read_file

STREAM = Path("-")
"""The standard input or output, in place of a file."""


def read_stdin() -> bytes:
    """Return what the standard input holds.

    Raises:
        DataError: Nothing is piped into it.
    """
    if sys.stdin.isatty():
        raise DataError("-: nothing is piped into the standard input")
    return sys.stdin.buffer.read()


def read_irec(path: Path) -> bytes:
    """Return a file's bytes, but of none that does not begin as ``.irec`` files do.

    Raises:
        DataError: Nothing can be read.
        NotAnIrecFileError: Its first bytes are others.
    """
    if path == STREAM:
        return read_stdin()
    from irec.bitstream import read_header
    from irec.bitstream.header import MAX_HEADER_BYTES

    try:
        with path.open("rb") as file:
            # The rest may be gigabytes.
            read_header(file.read(MAX_HEADER_BYTES))
    except OSError:
        pass  # read_file says why
    return read_file(path)


def prepare_target(path: Path, *, force: bool) -> None:
    """Make sure, before the work, that its result can be written; create its folder.

    Args:
        path: Of the file to be made.
        force: Whether an existing file may be replaced.

    Raises:
        OutputFileError: The file exists, or the folder cannot be created or written to.
    """
    if path == STREAM:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputFileError(
            f"cannot write {path}: its folder cannot be created ({error.strerror})"
        ) from error
    check_target(path, force=force)


def check_target(path: Path, *, force: bool) -> None:
    """As :func:`prepare_target`, of a file whose folder is the user's to create."""
    if os.path.lexists(path) and not force:
        if not os.path.exists(path):
            raise OutputFileError(f"{path} is a link that leads nowhere; --force replaces it")
        raise OutputFileError(f"{path} exists already; --force overwrites it")
    if not path.parent.is_dir():
        raise OutputFileError(f"cannot write {path}: its folder does not exist")
    if not os.access(path.parent, os.W_OK):
        raise OutputFileError(f"cannot write {path}: no permission to write to its folder")
