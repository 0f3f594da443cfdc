"""Which files a command turns into which: names and folders, settled before any work."""

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from irec.errors import DataError, IrecError
from irec.folders import paths_below


class UsageError(IrecError):
    """The command line asks for something impossible; nothing was done."""


@dataclass(frozen=True)
class Job:
    """One file to be made from another."""

    source: Path
    target: Path


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


def plan_jobs(
    inputs: Sequence[Path], output: Path | None, naming: Naming
) -> tuple[list[Job], list[str]]:
    """Pair every input file with the file to be made from it.

    Args:
        inputs: Files, and folders to be searched; what lies in a folder keeps its place in it.
        output: A folder, or with a single input file a file; None means beside the input.
        naming: Of the command.

    Returns:
        The jobs, and a line for each input that gives none.

    Raises:
        UsageError: `output` cannot be meant, or two files would be called the same.
    """
    places, problems = _find_sources(inputs, naming)
    if output is not None and _is_file_name(output, inputs, naming):
        return [Job(source, output) for source, _ in places], problems
    jobs: dict[str, Job] = {}
    for source, place in places:
        target = source if output is None else output / place
        job = Job(source, target.with_suffix(naming.target_suffix))
        if _same_file(job.source, job.target):
            problems.append(f"{source}: would overwrite itself; name another file with -o")
            continue
        other = jobs.setdefault(os.path.abspath(job.target), job)
        if not _same_file(other.source, source):
            raise UsageError(
                f"{other.source} and {source} would both become {job.target}; "
                "do one at a time, with different -o"
            )
    return list(jobs.values()), problems


def _find_sources(
    inputs: Sequence[Path], naming: Naming
) -> tuple[list[tuple[Path, Path]], list[str]]:
    """Each source with its place below the output folder, and a line for each unusable input."""
    places, problems = [], []
    for given in inputs:
        if given.is_dir():
            try:
                found = paths_below(given, naming.source_suffixes)
            except DataError as error:
                problems.append(str(error))
            else:
                places += [(path, path.relative_to(given)) for path in found]
        elif given.exists():
            places.append((given, Path(given.name)))
        else:
            problems.append(f"{given}: no such file or folder")
    return places, problems


def _is_file_name(output: Path, inputs: Sequence[Path], naming: Naming) -> bool:
    """Whether -o names a file rather than a folder; a new name without a suffix is a folder."""
    if output.is_dir():
        return False
    has_one_file = len(inputs) == 1 and not inputs[0].is_dir()
    if has_one_file and output.suffix:
        if output.suffix.lower() not in naming.target_suffixes:
            raise UsageError(
                f"-o {output}: a file made here ends in "
                f"{' or '.join(sorted(naming.target_suffixes))}; create a folder before you name it"
            )
        return True
    if output.exists() or output.suffix.lower() in naming.target_suffixes:
        raise UsageError(f"-o {output}: names a file, but a folder is needed here")
    return False


def _same_file(first: Path, second: Path) -> bool:
    return first.resolve() == second.resolve()
