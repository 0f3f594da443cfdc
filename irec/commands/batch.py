"""Commands that make a file of each file: their options, progress, a line for each, a summary."""

import inspect
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_args

import typer

from irec.commands.endings import EXIT_FAILED, EXIT_INTERRUPTED, leaving_on_sigterm
from irec.commands.endpoints import STREAM
from irec.commands.jobs import Done, Job, Naming, Outcome, Plan, attempt, plan_jobs
from irec.commands.options import (
    DeviceOption,
    ForceOption,
    check_device,
    count_option,
    file_name,
    one_of,
)
from irec.commands.workers import Team
from irec.files import OutputFileError, write_atomically
from irec.images import DEFAULT_MAX_PIXELS
from irec.metadata import Metadata
from irec.progress import listening
from irec.terminal import JobBars, say, write_bytes

Kept = Literal["all", "icc", "none"]


@dataclass(frozen=True, kw_only=True)
class FileCommand:
    """What such commands share; the fields are options. Copies do jobs in other processes.

    Attributes:
        naming: How the command calls its files.
    """

    naming: ClassVar[Naming]

    inputs: list[Path]
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            parser=file_name,
            help="Folder for the results (created where it is missing), or for a single input the "
            "name of the file. Default: beside each input.",
        ),
    ] = None
    force: ForceOption = False
    device: DeviceOption = "cpu"
    skip_existing: bool = False
    metadata: Annotated[
        Kept,
        typer.Option(
            metavar="|".join(get_args(Kept)),
            parser=one_of(Kept),
            help="Which metadata to keep: all (colour profile, EXIF and XMP, which say when and "
            "where a photograph was taken), icc (the colour profile only) or none.",
        ),
    ] = "all"
    max_pixels: Annotated[
        int,
        count_option(
            "Refuse larger images before any work: time and memory grow with the pixels. Sides of "
            "lossy images count as multiples of 64, to which they are padded."
        ),
    ] = DEFAULT_MAX_PIXELS
    keep_time: Annotated[
        bool,
        typer.Option("--keep-time", help="Give each result the modification time of its source."),
    ] = False
    jobs: Annotated[
        int,
        count_option(
            "Work on N files at once, in as many processes: each takes its own memory and its "
            "share of the threads. Results are the same.",
            *("--jobs", "-j"),
        ),
    ] = 1
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print failures only.")] = False

    def prepare(self) -> None:
        """Load what all jobs need.

        Raises:
            IrecError: That fails.
        """
        check_device(self.device)

    def __call__(self, job: Job) -> Done | None:
        """Do a job; None where its result was there already, and whole."""
        raise NotImplementedError

    def describe(self, done: Sequence[Done]) -> str:
        """Say what one or several jobs took and gave."""
        return f"{sum(d.bytes_in for d in done):,} -> {sum(d.bytes_out for d in done):,} bytes"

    def kept(self, metadata: Metadata) -> Metadata:
        """Return what of metadata the user wants."""
        kinds = {"all": metadata, "icc": Metadata(icc=metadata.icc), "none": Metadata()}
        return kinds[self.metadata]

    def write(self, job: Job, data: bytes) -> None:
        """Write a result: a file that is there whole or not at all, or to the standard output.

        Raises:
            OutputFileError: The file exists and is not to be replaced, or the system refuses.
        """
        if job.target == STREAM:
            write_bytes(data)
            return
        write_atomically(job.target, data, overwrite=self.force)
        if self.keep_time and job.source != STREAM:
            status = os.stat(job.source)
            os.utime(job.target, ns=(status.st_atime_ns, status.st_mtime_ns))

    def run(self) -> None:
        """Do all jobs; one that fails is reported on stderr and the others are done.

        What is printed, and the exit code, are the same however many jobs run at once.

        Raises:
            typer.Exit: Code 1 if anything failed, 130 after Ctrl-C.
            SystemExit: Code 143 after SIGTERM.
        """
        plan = plan_jobs(self.inputs, self.output, self.naming)
        start = time.perf_counter()
        outcomes: list[Outcome] = []
        for problem in plan.problems:
            say(f"failed: {problem}", sys.stderr)
        if plan.jobs:
            _do_all(self, plan.jobs, outcomes)
        if not self.quiet:
            _sum_up(self, plan, outcomes, time.perf_counter() - start)
        if plan.problems or any(one.failure for one in outcomes):
            raise typer.Exit(EXIT_FAILED)


def as_function(command: type[FileCommand]) -> Callable[..., None]:
    """Return what typer takes for a command; its own options stand before those it shares."""

    def run(**options: Any) -> None:
        command(**options).run()

    own = command.__annotations__
    parameters = inspect.signature(command).parameters.values()
    ordered = sorted(parameters, key=lambda parameter: parameter.name not in own)
    run.__name__, run.__doc__ = command.__name__.lower(), command.__doc__
    run.__signature__ = inspect.Signature(ordered)  # type: ignore[attr-defined]
    return run


def unlike(path: Path, reason: str) -> OutputFileError:
    """Return the error about a result of an earlier run that is not to be kept."""
    return OutputFileError(
        f"{path} exists, but {reason}; --force without --skip-existing replaces it"
    )


def _do_all(command: FileCommand, jobs: Sequence[Job], outcomes: list[Outcome]) -> None:
    """Do jobs, and tell of each in their order; of all that is done, even where Ctrl-C comes."""

    def tell(outcome: Outcome) -> None:
        _tell(command, outcome)
        outcomes.append(outcome)

    team: Team | None = None
    try:
        with leaving_on_sigterm(), JobBars(len(jobs), quiet=command.quiet) as bars:
            if command.jobs > 1 and len(jobs) > 1:
                team = Team(jobs, command, command.jobs, bars)
                coming = team.outcomes()
            else:
                command.prepare()
                coming = _one_by_one(jobs, command, bars)
            for outcome in coming:
                tell(outcome)
    except KeyboardInterrupt:
        for _, outcome in sorted(team.done.items()) if team else ():
            tell(outcome)
        say(f"interrupted; {len(outcomes)} of {len(jobs)} files are done", sys.stderr)
        raise typer.Exit(EXIT_INTERRUPTED) from None


def _one_by_one(jobs: Sequence[Job], command: FileCommand, bars: JobBars) -> Iterator[Outcome]:
    for job in jobs:
        with listening(lambda what, share, job=job: bars.show(job, job.source.name, what, share)):
            outcome = attempt(command, job)
        bars.count(job)
        yield outcome


def _tell(command: FileCommand, outcome: Outcome) -> None:
    job, done = outcome.job, outcome.done
    if outcome.failure:
        names_a_file = str(job.source) in outcome.failure or str(job.target) in outcome.failure
        place = "" if names_a_file else f"{job.source}: "
        say(f"failed: {place}{outcome.failure}", sys.stderr)
    elif command.quiet:
        return
    elif done is None:
        say(f"{job.target}: kept, it is whole")
    else:
        text = f"{job.source} -> {job.target}: {command.describe([done])}, {outcome.seconds:.1f} s"
        say(f"{text}{done.how and ', ' + done.how}", sys.stderr if job.target == STREAM else None)
        for note in done.notes:
            say(f"note: {job.source}: {note}", sys.stderr)


def _sum_up(command: FileCommand, plan: Plan, outcomes: Sequence[Outcome], seconds: float) -> None:
    if plan.n_skipped:
        kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(plan.n_skipped.items()))
        say(f"skipped, being of other kinds: {kinds}")
    n_jobs = len(plan.jobs) + len(plan.problems)
    if n_jobs <= 1:
        return
    done = [one.done for one in outcomes if one.done is not None]
    n_failed = len(plan.problems) + sum(bool(one.failure) for one in outcomes)
    n_kept = n_jobs - len(done) - n_failed
    counts = [f"{len(done)} of {n_jobs} files"]
    counts += [f"{n} {what}" for n, what in ((n_kept, "kept"), (n_failed, "failed")) if n]
    say(f"{', '.join(counts)}: {command.describe(done)}, {seconds:.1f} s")
