"""What goes to people's terminals and log files; a leaf, as ``irec.errors`` is."""

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


def say(text: str, file: Any = None) -> None:
    """Print a line whatever bytes file names are made of."""
    # One write: lines of several processes stay whole.
    print(
        text.encode(errors="replace").decode() + "\n", end="", file=file or sys.stdout, flush=True
    )


def show_table(table: Table) -> None:
    """Print a table: fitted to a terminal, but never wrapped in a pipe or a file."""
    console = Console()
    if not console.is_terminal:
        wide = Console(width=_UNLIMITED)
        console = Console(width=wide.measure(table).maximum)
    console.print(table)


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
        redirect_stdout=sys.stdout.isatty(),
        # Piped into a file, a bar is noise.
        disable=quiet or not console.is_terminal,
    )
