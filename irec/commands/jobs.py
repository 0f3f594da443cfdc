"""Which files a command turns into which, settled before any work; and what becomes of each."""

import os
import time
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from irec.commands.endings import UsageError
from irec.commands.endpoints import STREAM
from irec.errors import IrecError, ran_out_of_memory
from irec.folders import search


@dataclass(frozen=True)
class Job:
    """One file to be made from another."""

    source: Path
    target: Path


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


@dataclass(frozen=True)
class Naming:
    """How a command calls its files.

    Attributes:
        source_suffixes: What is taken out of folders.
        target_suffix: Of the files made, unless the user names one.
        target_suffixes: Which of a name given by the user are possible.
    """

    source_suffixes: Collection[str]
    target_suffix: str
    target_suffixes: Collection[str]


@dataclass
class Plan:
    """What a command is to do.

    Attributes:
        jobs: In the order in which they are done.
        problems: A line for each input that gives no job, though it should.
        n_skipped: How many files of folders have other suffixes, by suffix.
    """

    jobs: list[Job] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    n_skipped: Counter[str] = field(default_factory=Counter)


def plan_jobs(inputs: Sequence[Path], output: Path | None, naming: Naming) -> Plan:
    """Pair every input file with the file to be made from it.

    Where x.png and x.jpg would both become x.irec, they become x.png.irec and x.jpg.irec.

    Args:
        inputs: Files, and folders to be searched; what lies in a folder keeps its place in it.
        output: A folder, or with a single input file a file; None means beside the input.
        naming: Of the command.

    Raises:
        UsageError: `output` cannot be meant, or two files would be called the same.
    """
    plan = Plan()
    if STREAM in (*inputs, output):
        plan.jobs = [_stream_job(inputs, output)]
        return plan
    places = _find_sources(inputs, naming, plan)
    if output is not None and _is_file_name(output, inputs, naming):
        plan.jobs = [Job(source, output) for source in places]
        return plan
    targets = {
        source: source if output is None else output / place for source, place in places.items()
    }
    short = {source: _renamed(target, naming) for source, target in targets.items()}
    times = Counter(map(os.path.abspath, short.values()))
    taken: dict[str, Path] = {}
    for source, target in short.items():
        if times[os.path.abspath(target)] > 1:
            target = targets[source].with_name(targets[source].name + naming.target_suffix)
        if os.path.realpath(source) == os.path.realpath(target):
            plan.problems.append(
                f"{source}: not one of {', '.join(sorted(naming.source_suffixes))}, and the result "
                "would have its name; if it is one, name the result with -o"
            )
            continue
        other = taken.setdefault(os.path.abspath(target), source)
        if other != source:
            raise UsageError(
                f"{other} and {source} would both become {target}; "
                "do one at a time, with different -o"
            )
        plan.jobs.append(Job(source, target))
    return plan


def _stream_job(inputs: Sequence[Path], output: Path | None) -> Job:
    """Return the only job of a command one end of which is a pipe."""
    if len(inputs) != 1 or os.path.isdir(inputs[0]):
        raise UsageError("- stands for one image: name one input")
    if output is not None and os.path.isdir(output):
        raise UsageError(f"-o {output}: a folder; the standard input has no name, so name a file")
    return Job(inputs[0], STREAM if output is None else output)


def _renamed(target: Path, naming: Naming) -> Path:
    """x.irec for x.png, and x.png for x.irec as for x.png.irec."""
    if target.with_suffix("").suffix == naming.target_suffix:
        return target.with_suffix("")
    return target.with_suffix(naming.target_suffix)


def _find_sources(inputs: Sequence[Path], naming: Naming, plan: Plan) -> dict[Path, Path]:
    """Each source with its place below the output folder; the plan notes what is none."""
    places: dict[Path, Path] = {}
    seen: set[str] = set()

    def add(source: Path, place: Path) -> None:
        if (real := os.path.realpath(source)) not in seen:
            seen.add(real)
            places[source] = place

    for given in inputs:
        if os.path.isdir(given):
            found = search(given, naming.source_suffixes)
            plan.problems += found.problems
            plan.n_skipped.update(
                path.suffix.lower() or path.name
                for path in found.others
                if path.suffix.lower() != naming.target_suffix
            )
            if not found.paths and not found.problems:
                kinds = ", ".join(sorted(naming.source_suffixes))
                plan.problems.append(f"{given}: no {kinds} file in it")
            for path in found.paths:
                add(path, path.relative_to(given))
        else:
            try:
                os.stat(given)
            except FileNotFoundError:
                plan.problems.append(f"{given}: no such file or folder")
            except (OSError, ValueError) as error:
                reason = getattr(error, "strerror", None) or error
                plan.problems.append(f"{given}: cannot be read ({reason})")
            else:
                add(given, Path(given.name))
    return places


def _is_file_name(output: Path, inputs: Sequence[Path], naming: Naming) -> bool:
    """Whether -o names a file rather than a folder; a new name without a suffix is a folder."""
    if os.path.isdir(output):
        return False
    has_one_file = len(inputs) == 1 and not os.path.isdir(inputs[0])
    if has_one_file and output.suffix:
        if output.suffix.lower() not in naming.target_suffixes:
            raise UsageError(
                f"-o {output}: a file made here ends in "
                f"{' or '.join(sorted(naming.target_suffixes))}; create a folder before you name it"
            )
        return True
    if os.path.lexists(output) or output.suffix.lower() in naming.target_suffixes:
        raise UsageError(f"-o {output}: names a file, but a folder is needed here")
    return False
