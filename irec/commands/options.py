"""Options that several commands share."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from irec.commands.jobs import UsageError
from irec.metadata import Metadata

Device = Literal["cpu", "cuda"]

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
        min=1,
        help="Work on N files at once, in as many processes: each takes its own memory and its "
        "share of the threads. Results are the same.",
    ),
]
MaxPixelsOption = Annotated[
    int,
    typer.Option(
        metavar="N",
        min=1,
        help="Refuse larger images before any work: time and memory grow with the pixels.",
    ),
]
Kept = Literal["all", "icc", "none"]
MetadataOption = Annotated[
    Kept,
    typer.Option(
        help="Which metadata to keep: all (colour profile, EXIF and XMP, which say when and where "
        "a photograph was taken), icc (the colour profile only) or none.",
    ),
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print failures only.")]
DeviceOption = Annotated[Device, typer.Option(help="Where to compute.")]
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
