"""Progress bars on stderr, drawn only where someone is watching."""

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


def bytes_bar() -> Progress:
    """A bar that counts bytes, for downloads."""
    return _bar(DownloadColumn(), TransferSpeedColumn())


def images_bar() -> Progress:
    """A bar that counts images, for conversions."""
    return _bar(MofNCompleteColumn())


def _bar(*columns: ProgressColumn) -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        *columns,
        TimeRemainingColumn(),
        console=console,
        # Piped into a file, a bar is noise.
        disable=not console.is_terminal,
    )
