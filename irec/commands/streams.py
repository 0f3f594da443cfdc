"""``-`` on the command line: the standard input and output in place of files."""

import os
import sys
from pathlib import Path

from irec.commands.jobs import STREAM
from irec.errors import DataError
from irec.files import read_file, write_atomically
from irec.terminal import write_bytes


def source_of(path: Path) -> Path | bytes:
    """Return the path of a file, or what the standard input holds."""
    return read_bytes(path) if path == STREAM else path


def read_bytes(path: Path) -> bytes:
    """Return a file's bytes, or the standard input's.

    Raises:
        DataError: Nothing can be read.
    """
    if path != STREAM:
        return read_file(path)
    if sys.stdin.isatty():
        raise DataError("-: nothing is piped into the standard input")
    return sys.stdin.buffer.read()


def read_irec(path: Path) -> bytes:
    """Return a file's bytes, but of none that does not begin as ``.irec`` files do.

    Raises:
        DataError: Nothing can be read.
        NotAnIrecFileError: Its first bytes are others.
    """
    if path != STREAM:
        from irec.bitstream import read_header
        from irec.bitstream.header import MAX_HEADER_BYTES

        try:
            with path.open("rb") as file:
                # The rest may be gigabytes.
                read_header(file.read(MAX_HEADER_BYTES))
        except OSError:
            return read_file(path)  # says why
    return read_bytes(path)


def write_result(path: Path, data: bytes, *, overwrite: bool, time_of: Path | None = None) -> None:
    """Write a file as :func:`irec.files.write_atomically` does, or to the standard output.

    Args:
        path: Where to write.
        data: What to write.
        overwrite: Whether an existing file is replaced.
        time_of: A file whose time of modification the new one gets.

    Raises:
        OutputFileError: The file exists and is not to be replaced, or the system refuses.
    """
    if path == STREAM:
        write_bytes(data)
        return
    write_atomically(path, data, overwrite=overwrite)
    if time_of is not None and time_of != STREAM:
        status = os.stat(time_of)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
