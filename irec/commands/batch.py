"""Doing a command's jobs: progress, a line for each, failures, a summary."""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import typer

from irec.commands.jobs import STREAM, Job, Plan, UsageError
from irec.commands.outcomes import Done, Outcome, Watch, Work, attempt, leaving_on_sigterm
from irec.commands.workers import Team
from irec.errors import IrecError
from irec.files import OutputFileError
from irec.progress import listening
from irec.terminal import JobBars, say

EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130


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


Describe = Callable[[Sequence[Done]], str]


def run_jobs(
    plan: Plan,
    work: Work,
    describe: Describe,
    *,
    quiet: bool,
    n_workers: int = 1,
) -> None:
    """Do all jobs; one that fails is reported on stderr and the others are done.

    What is printed, and the exit code, are the same however many jobs run at once.

    Args:
        plan: What to do; its problems count as failures.
        work: Does one job; prepared if there is any.
        describe: Says what one or several jobs took and gave.
        quiet: Whether only failures are shown.
        n_workers: How many jobs run at once.

    Raises:
        typer.Exit: Code 1 if anything failed, 130 after Ctrl-C.
        SystemExit: Code 143 after SIGTERM.
    """
    tally = Tally(n_jobs=len(plan.jobs) + len(plan.problems))
    for problem in plan.problems:
        _fail(tally, problem)
    if plan.jobs:
        _do_all(plan.jobs, work, lambda one: _tell(one, describe, tally, quiet), quiet, n_workers)
    if plan.n_skipped and not quiet:
        kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(plan.n_skipped.items()))
        say(f"skipped, being of other kinds: {kinds}")
    if tally.n_jobs > 1 and not quiet:
        say(f"{tally.counts()}: {describe(tally.done)}, {tally.seconds:.1f} s")
    if tally.n_failed:
        raise typer.Exit(EXIT_FAILED)


def _do_all(
    jobs: Sequence[Job], work: Work, tell: Callable[[Outcome], None], quiet: bool, n_workers: int
) -> None:
    """Do jobs, and tell of each in their order; of all that is done, even where Ctrl-C comes."""
    n_told = 0
    team: Team | None = None
    try:
        with leaving_on_sigterm(), JobBars(len(jobs), quiet=quiet) as bars:
            if n_workers > 1 and len(jobs) > 1:
                team = Team(jobs, work, n_workers, _Watch(bars))
                outcomes = team.outcomes()
            else:
                work.prepare()
                outcomes = _one_by_one(jobs, work, _Watch(bars))
            for outcome in outcomes:
                tell(outcome)
                n_told += 1
    except KeyboardInterrupt:
        for _, outcome in sorted(team.done.items()) if team else ():
            tell(outcome)
            n_told += 1
        say(f"interrupted; {n_told} of {len(jobs)} files are done", sys.stderr)
        raise typer.Exit(EXIT_INTERRUPTED) from None


def _one_by_one(jobs: Sequence[Job], work: Work, watch: Watch) -> Iterator[Outcome]:
    for job in jobs:
        with listening(lambda what, share, job=job: watch.share(job, what, share)):
            outcome = attempt(work, job)
        watch.ended(job)
        yield outcome


@dataclass
class _Watch:
    """Draws how jobs are going."""

    bars: JobBars

    def share(self, job: Job, what: str, share: float) -> None:
        """Move the bar of a job."""
        self.bars.show(f"{job.source.name}: {what}", share, key=job)

    def ended(self, job: Job) -> None:
        """Remove it, and count the job."""
        self.bars.count(key=job)


def _tell(outcome: Outcome, describe: Describe, tally: Tally, quiet: bool) -> None:
    job, done = outcome.job, outcome.done
    if outcome.failure:
        names_a_file = str(job.source) in outcome.failure or str(job.target) in outcome.failure
        _fail(tally, outcome.failure if names_a_file else f"{job.source}: {outcome.failure}")
    elif done is None:
        tally.n_kept += 1
        if not quiet:
            say(f"{job.target}: kept, it is whole")
    else:
        tally.done.append(done)
        if quiet:
            return
        text = f"{job.source} -> {job.target}: {describe([done])}, {outcome.seconds:.1f} s"
        say(f"{text}{done.how and ', ' + done.how}", sys.stderr if job.target == STREAM else None)
        for note in done.notes:
            say(f"note: {job.source}: {note}", sys.stderr)


def _fail(tally: Tally, message: str) -> None:
    tally.n_failed += 1
    say(f"failed: {message}", sys.stderr)


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
