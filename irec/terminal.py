"""What goes to people's terminals and log files; a leaf, as ``irec.errors`` is."""

import sys
from typing import Any

from rich.console import Console
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
