"""Options that several commands share."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import typer

from irec.commands.endings import UsageError
from irec.files import write_json

Device = Literal["cpu", "cuda"]
Number = TypeVar("Number", int, float)


def number(
    kind: type[Number], low: int | float, high: int | float = math.inf, *, above: bool = False
) -> Callable[[Any], Number]:
    """Return the parser of a number; its errors name what was given, which typer's do not.

    Args:
        kind: int takes whole numbers only.
        low: The least that is allowed.
        high: The most; infinity itself never is.
        above: Whether `low` is too little.
    """
    noun = "a whole number" if kind is int else "a number"
    if high < math.inf:
        allowed = f"{noun} from {low:g} to {high:g}"
    else:
        allowed = f"{noun} above {low:g}" if above else f"{noun}, {low:g} or more"

    def parse(given: Any) -> Number:
        try:
            value = kind(given)
        except ValueError:
            raise _refusal(given, allowed) from None
        if not low <= value <= high or value == math.inf or (above and value == low):
            raise _refusal(given, allowed)
        return value

    return parse


def one_of(names: Any) -> Callable[[Any], Any]:
    """Return the parser of one of the names that a Literal lists; errors as of :func:`number`."""
    known = get_args(names)

    def parse(given: Any) -> Any:
        if given not in known:
            raise _refusal(given, f"one of {', '.join(known)}")
        return given

    return parse


def count_option(help: str, *names: str, low: int = 1, high: int | None = None) -> Any:
    """Return the option of a whole number that is `low` or more, and `high` or less."""
    parser = number(int, low, math.inf if high is None else high)
    metavar = "N" if high is None else f"{low}-{high}"
    return typer.Option(*names, metavar=metavar, parser=parser, help=help)


def _refusal(given: Any, allowed: str) -> typer.BadParameter:
    """Typer puts the option's name before it."""
    return typer.BadParameter(f"{str(given)!r} is not {allowed}")


PlotOption = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        metavar="OUT",
        help="Plot to write: .png, .svg or .pdf. The figures go into a .csv file beside it.",
    ),
]


def file_name(given: Any) -> Path:
    """Parse a path; a script's variable that is not set must not stand for the current folder."""
    if given == "":
        raise typer.BadParameter("an empty name; . is the current folder")
    return Path(given)


ForceOption = Annotated[bool, typer.Option("--force", "-f", help="Overwrite existing files.")]
DeviceOption = Annotated[
    Device,
    typer.Option(
        metavar="|".join(get_args(Device)), parser=one_of(Device), help="Where to compute."
    ),
]
JsonRowsOption = Annotated[
    Path | None, typer.Option("--json", help="Write the rows to this file too.")
]
FileCheckpointOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|PATH",
        help="Checkpoint to decode with. Default: the installed one that the file asks for.",
    ),
]


def check_device(device: Device) -> None:
    """Raise a UsageError where `device` is not there."""
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda: no GPU that this PyTorch can use; take --device cpu")


def write_rows(path: Path | None, rows: Sequence[Any]) -> None:
    """Write dataclasses to the file that --json names, if it does."""
    if path is not None:
        write_json(path, [asdict(row) for row in rows])
