"""Several jobs at once, each in a process with its share of the threads.

Processes rather than threads: Python's part of coding an image runs on one core, and a process that
the system ends for want of memory takes one image with it, not all of them.
"""

import contextlib
import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from irec.commands.endings import handling, leaving_on_sigterm
from irec.commands.jobs import Job, Outcome, Work, attempt
from irec.errors import IrecError
from irec.progress import listening
from irec.terminal import JobBars

# Spawned: a copy of a process that has run torch on several threads may wait for ever.
_SPAWN = multiprocessing.get_context("spawn")
_SECONDS_BETWEEN_REPORTS = 0.2


@dataclass
class _Worker:
    """A process, and the place of the job that it is at; -1 before its first."""

    process: BaseProcess
    connection: Connection
    place: int = -1


class Team:
    """Processes that do jobs; one that dies is replaced.

    Attributes:
        done: Outcomes that nobody has taken yet, by the job's place.
    """

    def __init__(self, jobs: Sequence[Job], work: Work, n_workers: int, bars: JobBars) -> None:
        """Plan; nothing runs before :meth:`outcomes`.

        Args:
            jobs: To be done.
            work: Can be pickled; each process prepares its own.
            n_workers: How many processes there are.
            bars: Show progress.
        """
        self.done: dict[int, Outcome] = {}
        self._jobs = jobs
        self._work = work
        self._n_workers = min(n_workers, len(jobs))
        self._bars = bars
        self._waiting = deque(range(len(jobs)))
        self._workers: dict[Connection, _Worker] = {}
        self._processes: list[BaseProcess] = []

    def outcomes(self) -> Iterator[Outcome]:
        """Do all jobs; their outcomes come in the order of the jobs, whichever ends first.

        Raises:
            IrecError: The work cannot be prepared.
        """
        try:
            for _ in range(self._n_workers):
                self._hire()
            for place in range(len(self._jobs)):
                while place not in self.done:
                    for connection in wait(list(self._workers)):
                        self._hear(self._workers[connection])  # type: ignore[index]
                yield self.done.pop(place)
        finally:
            for process in self._processes:
                process.terminate()
            for process in self._processes:
                process.join()

    def _hire(self) -> None:
        ours, theirs = _SPAWN.Pipe()
        given = (theirs, self._work, self._n_workers)
        process = _SPAWN.Process(target=_serve, args=given, daemon=True)
        # Terminals send Ctrl-C to all: new processes ignore it, the first one ends them.
        with handling(signal.SIGINT, signal.SIG_IGN):
            process.start()
        theirs.close()
        self._processes.append(process)
        self._workers[ours] = _Worker(process, ours)

    def _hear(self, worker: _Worker) -> None:
        """Take a message: an error that ends all, a share of a job, an outcome, or a beginning."""
        try:
            message = worker.connection.recv()
        except (EOFError, ConnectionError):
            self._replace(worker)
            return
        if isinstance(message, BaseException):
            raise message
        if isinstance(message, tuple):
            job = self._jobs[worker.place]
            self._bars.show(job, job.source.name, *message)
            return
        if message is not None:
            self._end(worker.place, message)
        if not self._waiting:
            del self._workers[worker.connection]
            return
        worker.place = self._waiting.popleft()
        with contextlib.suppress(ConnectionError):  # it died, which the next round hears of
            worker.connection.send(self._jobs[worker.place])

    def _replace(self, worker: _Worker) -> None:
        del self._workers[worker.connection]
        worker.process.join()
        if worker.place < 0:
            raise IrecError("a process of --jobs ended before its work began; try without")
        reason = f"its process ended (exit code {worker.process.exitcode})"
        reason = f"{reason}; if memory is short, lower --jobs"
        self._end(worker.place, Outcome(self._jobs[worker.place], failure=reason))
        if self._waiting:
            self._hire()

    def _end(self, place: int, outcome: Outcome) -> None:
        self.done[place] = outcome
        self._bars.count(self._jobs[place])


def _serve(connection: Connection, work: Work, n_workers: int) -> None:
    """Do one job after the other, in a process of its own, until there is none."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with leaving_on_sigterm(), contextlib.suppress(EOFError, ConnectionError):
        try:
            import torch

            torch.set_num_threads(max(1, torch.get_num_threads() // n_workers))
            work.prepare()
            connection.send(None)
            while True:
                job = connection.recv()
                with listening(_reporter(connection)):
                    outcome = attempt(work, job)
                connection.send(outcome)
        except (EOFError, ConnectionError):
            raise
        except Exception as error:
            if not isinstance(error, IrecError):
                error.add_note(traceback.format_exc())
            connection.send(error)


def _reporter(connection: Connection) -> Callable[[str, float], None]:
    """Return what tells of progress, a few times a second."""
    last = time.monotonic()

    def report(what: str, share: float) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _SECONDS_BETWEEN_REPORTS:
            last = now
            connection.send((what, share))

    return report


def _end_with_parent() -> None:
    """Work for nobody is no use: a parent that was killed cannot say so."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
