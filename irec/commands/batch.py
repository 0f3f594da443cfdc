"""Doing a command's jobs one after the other: progress, a line for each, failures, a summary."""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import typer

from irec.commands.jobs import STREAM, Job, Plan, UsageError
from irec.errors import IrecError, ran_out_of_memory
from irec.files import OutputFileError
from irec.terminal import count_bar, say

EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED, EXIT_TERMINATED = 1, 2, 130, 143


@dataclass(frozen=True)
class Done:
    """What one job took and gave.

    Attributes:
        bytes_in: Size of the source file.
        bytes_out: Size of the file made.
        n_pixels: Height x width of the image.
        n_channels: Of the image, alpha included.
        notes: What the user should know about it.
    """

    bytes_in: int
    bytes_out: int
    n_pixels: int
    n_channels: int
    notes: tuple[str, ...] = ()


@dataclass
class Tally:
    """How a run is going."""

    n_jobs: int
    n_failed: int = 0
    n_kept: int = 0
    done: list[Done] = field(default_factory=list)
    started: float = field(default_factory=time.perf_counter)

    @property
    def seconds(self) -> float:
        """Since the run began."""
        return time.perf_counter() - self.started

    def counts(self) -> str:
        """How many files are done and how many are not, in words."""
        text = f"{len(self.done)} of {self.n_jobs} files"
        if self.n_kept:
            text = f"{text}, {self.n_kept} kept"
        return f"{text}, {self.n_failed} failed" if self.n_failed else text


Work = Callable[[Job], Done | None]
"""Does a job; None where its result was there already."""
Describe = Callable[[Sequence[Done]], str]


def run_jobs(
    plan: Plan,
    start: Callable[[], Work],
    describe: Describe,
    *,
    quiet: bool,
) -> None:
    """Do all jobs; one that fails is reported on stderr and the others are done.

    Args:
        plan: What to do; its problems count as failures.
        start: Loads what the work needs, called if there is any job; returns what does one job,
            and raises IrecError or OSError where it cannot.
        describe: Says what one or several jobs took and gave.
        quiet: Whether only failures are shown.

    Raises:
        typer.Exit: Code 1 if anything failed, 130 after Ctrl-C.
        SystemExit: Code 143 after SIGTERM.
    """
    jobs = plan.jobs
    tally = Tally(n_jobs=len(jobs) + len(plan.problems))
    for problem in plan.problems:
        _fail(tally, problem)
    try:
        if jobs:
            work = start()
            with _leaving_on_sigterm(), _progress(len(jobs), quiet) as advance:
                for job in jobs:
                    _do(job, work, describe, tally, quiet)
                    advance()
    except KeyboardInterrupt:
        say(f"interrupted; {len(tally.done)} of {tally.n_jobs} files are done", sys.stderr)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    if plan.n_skipped and not quiet:
        kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(plan.n_skipped.items()))
        say(f"skipped, being of other kinds: {kinds}")
    if tally.n_jobs > 1 and not quiet:
        say(f"{tally.counts()}: {describe(tally.done)}, {tally.seconds:.1f} s")
    if tally.n_failed:
        raise typer.Exit(EXIT_FAILED)


def _do(job: Job, work: Work, describe: Describe, tally: Tally, quiet: bool) -> None:
    start = time.perf_counter()
    try:
        done = work(job)
    except (IrecError, OSError, MemoryError, RuntimeError) as error:
        message = str(error) or type(error).__name__
        if ran_out_of_memory(error):
            message = f"not enough memory ({message.splitlines()[0]})"
        elif not isinstance(error, (IrecError, OSError)):
            raise
        names_a_file = str(job.source) in message or str(job.target) in message
        _fail(tally, message if names_a_file else f"{job.source}: {message}")
        return
    if done is None:
        tally.n_kept += 1
        if not quiet:
            say(f"{job.target}: kept, it is whole")
        return
    tally.done.append(done)
    if not quiet:
        seconds = time.perf_counter() - start
        text = f"{job.source} -> {job.target}: {describe([done])}, {seconds:.1f} s"
        say(text, sys.stderr if job.target == STREAM else None)
        for note in done.notes:
            say(f"note: {job.source}: {note}", sys.stderr)


@contextlib.contextmanager
def _leaving_on_sigterm() -> Iterator[None]:
    """Make SIGTERM an exception, so that bars and unfinished files are cleared away."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(EXIT_TERMINATED)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _fail(tally: Tally, message: str) -> None:
    tally.n_failed += 1
    say(f"failed: {message}", sys.stderr)


@contextlib.contextmanager
def _progress(n_jobs: int, quiet: bool) -> Iterator[Callable[[], None]]:
    """Draw a bar on stderr where somebody looks at it; yield what moves it on by one job."""
    with count_bar(quiet=quiet, transient=True) as progress:
        task = progress.add_task("files", total=n_jobs)
        yield lambda: progress.advance(task)


@contextlib.contextmanager
def one_line_errors() -> Iterator[None]:
    """Print what ends the whole command, Ctrl-C too, as one line; leave with its exit code."""
    try:
        yield
    except UsageError as error:
        say(f"irec: {error}", sys.stderr)
        raise typer.Exit(EXIT_USAGE) from error
    except IrecError as error:
        say(f"irec: {error}", sys.stderr)
        raise typer.Exit(EXIT_FAILED) from error
    except KeyboardInterrupt:
        say("irec: interrupted", sys.stderr)
        raise typer.Exit(EXIT_INTERRUPTED) from None


def prepare_target(path: Path, *, force: bool) -> None:
    """Make sure, before the work, that its result can be written.

    Args:
        path: Of the file to be made; its folder is created.
        force: Whether an existing file may be replaced.

    Raises:
        OutputFileError: The file exists, or the folder cannot be created or written to.
    """
    if path == STREAM:
        return
    check_absent(path, force=force)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputFileError(
            f"cannot write {path}: its folder cannot be created ({error.strerror})"
        ) from error
    check_target(path, force=force)


def check_target(path: Path, *, force: bool) -> None:
    """As :func:`prepare_target`, of a file whose folder is the user's to create."""
    check_absent(path, force=force)
    if not path.parent.is_dir():
        raise OutputFileError(f"cannot write {path}: its folder does not exist")
    if not os.access(path.parent, os.W_OK):
        raise OutputFileError(f"cannot write {path}: no permission to write to its folder")


def check_absent(path: Path, *, force: bool) -> None:
    """Raise an OutputFileError where a name is taken, unless `force`."""
    if os.path.lexists(path) and not force:
        if not os.path.exists(path):
            raise OutputFileError(f"{path} is a link that leads nowhere; --force replaces it")
        raise OutputFileError(f"{path} exists already; --force overwrites it")
