"""What goes to people's terminals and log files; a leaf, but for its errors."""

import os
import sys
import time
from collections.abc import Iterable, Sequence
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

from irec.errors import OutputFileError

# No table is as wide; what is printed is as wide as its contents.
_UNLIMITED = 10_000
# Bars of what takes no longer would only flicker.
_SECONDS_BEFORE_A_BAR = 0.5


def say(text: str, file: Any = None) -> None:
    """Print a line, whatever its names are made of, and wherever stdout leads.

    What the terminal's encoding lacks is written as an escape. Where nobody reads on, as after
    ``| head``, the rest is dropped.

    Raises:
        OutputFileError: There is no room for it.
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
    except OSError as error:
        _silence(stream)
        name = "output" if stream is sys.stdout else "error output"
        raise OutputFileError(f"cannot write to the standard {name}: {error.strerror}") from error


def write_bytes(data: bytes) -> None:
    """Write to the standard output.

    Raises:
        OutputFileError: It is closed, nobody reads it, or there is no room.
    """
    if getattr(sys.stdout, "name", None) == os.devnull:  # in place of one that was closed
        raise OutputFileError("cannot write to the standard output: it is closed")
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as error:
        _silence(sys.stdout)
        raise OutputFileError(f"cannot write to the standard output: {error.strerror}") from error


def _silence(stream: Any) -> None:
    """Drop what is left: Python would try again, and complain, when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def table_of(
    title: str | None, headings: Sequence[str], rows: Iterable[Sequence[str]] = (), n_names: int = 1
) -> Table:
    """Return a table; its first `n_names` columns hold names, the others figures."""
    table = Table(title=title, title_style="bold")
    for index, heading in enumerate(headings):
        table.add_column(heading, justify="left" if index < n_names else "right")
    for row in rows:
        table.add_row(*row)
    return table


def show_table(table: Table) -> None:
    """Print a table: fitted to a terminal, but never wrapped in a pipe or a file.

    What does not fit is folded, never cut; names in cells are literal.
    """
    for column in table.columns:
        column.overflow = "fold"
    width = None if _is_terminal(sys.stdout) else _UNLIMITED
    console = Console(width=width, markup=False, emoji=False, highlight=False)
    if not console.is_terminal:
        console.width = console.measure(table).maximum
    with console.capture() as capture:
        console.print(table)
    say(capture.get().rstrip("\n"))


def _is_terminal(stream: Any) -> bool:
    return stream is not None and bool(stream.isatty())


class Bar(Progress):
    """A progress bar on stderr, if that is a terminal."""

    def __init__(
        self, *columns: ProgressColumn, quiet: bool = False, transient: bool = False
    ) -> None:
        """Draw it when the block is entered.

        Args:
            columns: What stands behind the bar.
            quiet: Whether to draw nothing.
            transient: Whether to leave nothing on the screen.
        """
        console = Console(stderr=True)
        super().__init__(
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


def count_bar() -> Bar:
    """Return a progress bar that counts things, such as images."""
    return Bar(MofNCompleteColumn())


def bytes_bar() -> Bar:
    """Return a progress bar that counts bytes, for downloads."""
    return Bar(DownloadColumn(), TransferSpeedColumn())


class JobBars(Bar):
    """How many jobs are done, and how far each is that takes long enough."""

    def __init__(self, n_jobs: int, *, quiet: bool) -> None:
        """Count from 0 to the number of jobs; draw nothing if `quiet`."""
        super().__init__(_CountOrShare(), quiet=quiet, transient=True)
        self._count = self.add_task("files", total=n_jobs, visible=n_jobs > 1)
        self._since: dict[object, float] = {}
        self._shown: dict[object, tuple[TaskID, str]] = {}

    def show(self, job: object, name: str, what: str, share: float) -> None:
        """Draw how much of something is done.

        Args:
            job: Whose bar it is.
            name: Of the job.
            what: Is done for it.
            share: From 0 to 1.
        """
        now = time.monotonic()
        if now - self._since.setdefault(job, now) < _SECONDS_BEFORE_A_BAR:
            return
        label = escape(f"{name}: {what}")
        task, before = self._shown.get(job, (None, what))
        if task is None:
            task = self.add_task(label, total=1.0)
        elif before != what:  # another pass over the image, at another speed
            self.reset(task, description=label)
        self._shown[job] = task, what
        self.update(task, completed=share)

    def count(self, job: object) -> None:
        """Count a job as done, and remove its bar."""
        self._since.pop(job, None)
        if job in self._shown:
            self.remove_task(self._shown.pop(job)[0])
        self.advance(self._count)


class _CountOrShare(MofNCompleteColumn):
    """Things are counted, of one thing a share is shown."""

    def render(self, task: Task) -> Text:
        """Of a bar."""
        return Text(f"{task.percentage:3.0f} %") if task.total == 1.0 else super().render(task)
