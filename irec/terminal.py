"""What goes to people's terminals and log files; a leaf, as ``irec.errors`` is."""

import os
import sys
import time
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table
from rich.text import Text

# No table is as wide; what is printed is as wide as its contents.
_UNLIMITED = 10_000
# Bars of what takes no longer would only flicker.
_SECONDS_BEFORE_A_BAR = 0.5
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


def count_bar() -> Progress:
    """Return a progress bar that counts things, such as images."""
    return _bar(MofNCompleteColumn())


def bytes_bar() -> Progress:
    """Return a progress bar that counts bytes, for downloads."""
    return _bar(DownloadColumn(), TransferSpeedColumn())


class JobBars:
    """Bars on stderr: how many jobs are done, and how far each is that takes long enough."""

    def __init__(self, n_jobs: int, *, quiet: bool) -> None:
        """Draw the first bar when the block is entered.

        Args:
            n_jobs: Of all.
            quiet: Whether to draw none.
        """
        self._bar = _bar(_CountOrShare(), quiet=quiet, transient=True)
        self._count = self._bar.add_task("files", total=n_jobs, visible=n_jobs > 1)
        self._tasks: dict[object, tuple[TaskID, str]] = {}
        self._since: dict[object, float] = {}

    def __enter__(self) -> "JobBars":
        """Begin to draw."""
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Leave nothing on the screen."""
        self._bar.stop()

    def show(self, what: str, share: float, key: object) -> None:
        """Draw how much of something is done.

        Args:
            what: Is done for a job.
            share: From 0 to 1.
            key: Of the job.
        """
        now = time.monotonic()
        if now - self._since.setdefault(key, now) < _SECONDS_BEFORE_A_BAR:
            return
        task, before = self._tasks.get(key, (None, ""))
        if task is None or before != what:  # another pass over the image, at another speed
            if task is not None:
                self._bar.remove_task(task)
            task = self._bar.add_task(escape(what), total=1.0)
            self._tasks[key] = task, what
        self._bar.update(task, completed=share)

    def count(self, key: object) -> None:
        """Count a job as done, and remove its bar."""
        self._since.pop(key, None)
        if key in self._tasks:
            self._bar.remove_task(self._tasks.pop(key)[0])
        self._bar.advance(self._count)


class _CountOrShare(MofNCompleteColumn):
    """Things are counted, of one thing a share is shown."""

    def render(self, task: Task) -> Text:
        """Of a bar."""
        return Text(f"{task.percentage:3.0f} %") if task.total == 1.0 else super().render(task)


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
