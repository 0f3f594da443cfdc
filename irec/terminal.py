"""What goes to people's terminals and log files; a leaf, as ``irec.errors`` is."""

import os
import sys
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table

# No table is as wide; what is printed is as wide as its contents.
_UNLIMITED = 10_000
_LITERAL: dict[str, Any] = {"markup": False, "emoji": False, "highlight": False}


def say(text: str, file: Any = None) -> None:
    """Print a line, whatever its names are made of, and wherever stdout leads.

    What the terminal's encoding lacks is written as an escape. Where nobody reads on, as after
    ``| head``, the rest is dropped.
    """
    stream = file or sys.stdout
    if stream is None:  # closed before Python began
        return
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        # One write: lines of several processes stay whole.
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
        stream.flush()
    except BrokenPipeError:
        _silence(stream)


def write_bytes(data: bytes) -> None:
    """Write to the standard output.

    Raises:
        OSError: Nobody reads it, or there is no room.
    """
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError:
        _silence(sys.stdout)
        raise


def _silence(stream: Any) -> None:
    """Drop what is left: Python would try again, and complain, when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def show_table(table: Table) -> None:
    """Print a table: fitted to a terminal, but never wrapped in a pipe or a file.

    What does not fit is folded, never cut; names in cells are literal.
    """
    for column in table.columns:
        column.overflow = "fold"
    console = Console(width=None if _is_terminal(sys.stdout) else _UNLIMITED, **_LITERAL)
    if not console.is_terminal:
        console = Console(width=console.measure(table).maximum, **_LITERAL)
    with console.capture() as capture:
        console.print(table)
    say(capture.get().rstrip("\n"))


def _is_terminal(stream: Any) -> bool:
    return stream is not None and bool(stream.isatty())


def count_bar(*, quiet: bool = False, transient: bool = False) -> Progress:
    """Return a progress bar that counts things: files, images.

    Args:
        quiet: Whether to draw none.
        transient: Whether it vanishes at its end.
    """
    return _bar(MofNCompleteColumn(), quiet=quiet, transient=transient)


def bytes_bar() -> Progress:
    """Return a progress bar that counts bytes, for downloads."""
    return _bar(DownloadColumn(), TransferSpeedColumn())


def _bar(*columns: ProgressColumn, quiet: bool = False, transient: bool = False) -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        *columns,
        TimeRemainingColumn(),
        console=console,
        transient=transient,
        # Lines for a terminal go around the bar; lines for a pipe must stay on stdout.
        redirect_stdout=_is_terminal(sys.stdout),
        # Piped into a file, a bar is noise.
        disable=quiet or not console.is_terminal,
    )
