"""Which files lie below a folder, and what could not be looked at there; a leaf of the package."""

import os
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Search:
    """What lies below a folder, hidden files left out.

    Attributes:
        paths: Files with one of the suffixes asked for, sorted.
        others: Files with other suffixes.
        problems: A line for each folder and link that leads nowhere.
    """

    paths: list[Path] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def search(folder: Path, suffixes: Collection[str]) -> Search:
    """Look through a folder and all below it; linked folders are followed, each once.

    Args:
        folder: Where to look.
        suffixes: What to look for, lower case.
    """
    result, seen = Search(), {os.path.realpath(folder)}

    def report(error: OSError) -> None:
        result.problems.append(f"{error.filename}: folder cannot be read ({error.strerror})")

    for parent, folders, names in os.walk(folder, onerror=report, followlinks=True):
        visible = sorted(name for name in folders if not name.startswith("."))
        folders.clear()
        for name in visible:
            place = os.path.realpath(os.path.join(parent, name))
            if place not in seen:
                seen.add(place)
                folders.append(name)
        for name in names:
            path = Path(parent, name)
            if name.startswith("."):
                continue
            if path.suffix.lower() not in suffixes:
                result.others.append(path)
            elif path.is_file():
                result.paths.append(path)
            else:
                result.problems.append(f"{path}: a link that leads nowhere, or not a file")
    result.paths.sort()
    return result
