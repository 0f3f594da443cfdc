"""Options that several commands share."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import typer

from irec.commands.jobs import UsageError
from irec.metadata import Metadata

Device = Literal["cpu", "cuda"]
Kept = Literal["all", "icc", "none"]
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


def _refusal(given: Any, allowed: str) -> typer.BadParameter:
    """Typer puts the option's name before it."""
    return typer.BadParameter(f"{str(given)!r} is not {allowed}")


OutputOption = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="OUT",
        help="Folder for the results (created where it is missing), or for a single input the "
        "name of the file. Default: beside each input.",
    ),
]
PlotOption = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        metavar="OUT",
        help="Plot to write: .png, .svg or .pdf. The figures go into a .csv file beside it.",
    ),
]
ForceOption = Annotated[bool, typer.Option("--force", "-f", help="Overwrite existing files.")]
KeepTimeOption = Annotated[
    bool,
    typer.Option("--keep-time", help="Give each result the modification time of its source."),
]
JobsOption = Annotated[
    int,
    typer.Option(
        "--jobs",
        "-j",
        metavar="N",
        parser=number(int, 1),
        help="Work on N files at once, in as many processes: each takes its own memory and its "
        "share of the threads. Results are the same.",
    ),
]
MaxPixelsOption = Annotated[
    int,
    typer.Option(
        metavar="N",
        parser=number(int, 1),
        help="Refuse larger images before any work: time and memory grow with the pixels. Sides "
        "of lossy images count as multiples of 64, to which they are padded.",
    ),
]
MetadataOption = Annotated[
    Kept,
    typer.Option(
        metavar="|".join(get_args(Kept)),
        parser=one_of(Kept),
        help="Which metadata to keep: all (colour profile, EXIF and XMP, which say when and where "
        "a photograph was taken), icc (the colour profile only) or none.",
    ),
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print failures only.")]
DeviceOption = Annotated[
    Device,
    typer.Option(
        metavar="|".join(get_args(Device)), parser=one_of(Device), help="Where to compute."
    ),
]
FileCheckpointOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|PATH",
        help="Checkpoint to decode with. Default: the installed one that the file asks for.",
    ),
]


def kept_of(metadata: Metadata, kept: Kept) -> Metadata:
    """Return what of metadata the user wants."""
    return {"all": metadata, "icc": Metadata(icc=metadata.icc), "none": Metadata()}[kept]


def check_device(device: Device) -> None:
    """Raise a UsageError where `device` is not there."""
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda: no GPU that this PyTorch can use; take --device cpu")
