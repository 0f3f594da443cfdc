"""What becomes of one job."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from irec.commands.jobs import Job
from irec.errors import IrecError, ran_out_of_memory

EXIT_TERMINATED = 143


@dataclass(frozen=True)
class Done:
    """What one job took and gave.

    Attributes:
        bytes_in: Size of the source file.
        bytes_out: Size of the file made.
        n_pixels: Height x width of the image.
        n_channels: Of the image, alpha included.
        how: What was done otherwise than usually, for the line about it.
        notes: What the user should know besides.
    """

    bytes_in: int
    bytes_out: int
    n_pixels: int
    n_channels: int
    how: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes:
        job: The job.
        done: Its result; None where that was there already, and after a failure.
        failure: Why there is no result, in one line; empty where there is one.
        seconds: That it took.
    """

    job: Job
    done: Done | None = None
    failure: str = ""
    seconds: float = 0.0


@runtime_checkable
class Work(Protocol):
    """Does jobs; can be pickled, so that other processes can do some."""

    def prepare(self) -> None:
        """Load what all jobs need; raises IrecError or OSError where that fails."""

    def __call__(self, job: Job) -> Done | None:
        """Do a job; None where its result was there already."""


@runtime_checkable
class Watch(Protocol):
    """Who wants to know how jobs are going."""

    def share(self, job: Job, what: str, share: float) -> None:
        """Hear how much is done, 0 to 1, of what is being done for a job."""

    def ended(self, job: Job) -> None:
        """Hear that a job has ended, well or not."""


def attempt(work: Work, job: Job) -> Outcome:
    """Do a job; what is nobody's mistake becomes a failure in one line."""
    start = time.perf_counter()
    try:
        done = work(job)
    except (IrecError, OSError, MemoryError, RuntimeError) as error:
        message = str(error) or type(error).__name__
        if ran_out_of_memory(error):
            message = f"not enough memory ({message.splitlines()[0]})"
        elif not isinstance(error, (IrecError, OSError)):
            raise
        return Outcome(job, failure=message)
    return Outcome(job, done, seconds=time.perf_counter() - start)


def leaving_on_sigterm() -> AbstractContextManager[None]:
    """Make SIGTERM an exception, so that bars and unfinished files are cleared away."""

    def leave(*_: object) -> None:
        raise SystemExit(EXIT_TERMINATED)

    return handling(signal.SIGTERM, leave)


@contextmanager
def handling(number: signal.Signals, handler: Any) -> Iterator[None]:
    """Handle a signal in the block, as far as this is the thread that signals come to."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)
