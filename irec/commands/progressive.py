"""``irec progressive``: how good the beginning of a lossy file is."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from irec.commands.endings import UsageError
from irec.commands.endpoints import prepare_target
from irec.commands.options import (
    DeviceOption,
    FileCheckpointOption,
    ForceOption,
    PlotOption,
    check_device,
    count_option,
)
from irec.errors import BitstreamError
from irec.files import read_file
from irec.images import psnr_db, read_image
from irec.terminal import say, show_table, table_of

if TYPE_CHECKING:
    import numpy as np

    from irec.codec import Codec

Points = list[tuple[int, float]]


def progressive(
    file: Annotated[Path, typer.Argument(metavar="FILE.irec", help="A lossy file.")],
    original: Annotated[Path, typer.Argument(metavar="IMAGE", help="What it was made from.")],
    output: PlotOption,
    points: Annotated[int, count_option("How many beginnings to decode.", low=2)] = 20,
    checkpoint: FileCheckpointOption = None,
    force: ForceOption = False,
    device: DeviceOption = "cpu",
) -> None:
    """Decode ever longer beginnings of a lossy file, and plot their PSNR over their bytes."""
    _check_output(output, file, original)
    for target in (output, output.with_suffix(".csv")):
        prepare_target(target, force=force)
    check_device(device)
    data, pixels = read_file(file), read_image(original)
    from irec.codec import codec_for
    from irec.evaluation.plots import plot_progressive

    try:
        codec = codec_for(data, checkpoint=checkpoint, device=device)
        if not codec.profile.is_lossy:
            raise UsageError("a lossless file, which is of no use without its end")
        found = _measure(codec, data, pixels, points, original)
    except (BitstreamError, UsageError) as error:
        raise type(error)(f"{file}: {error}") from error
    plot_progressive(output, found, len(data), f"{original.name}, {len(data):,} bytes")
    rows = ((f"{n:,}", f"{n / len(data):.0%}", f"{psnr:.2f}") for n, psnr in found)
    show_table(table_of(None, ("bytes", "share", "PSNR dB"), rows, n_names=0))
    say(f"{len(found)} points -> {output} and {output.with_suffix('.csv').name}")


def _check_output(output: Path, *inputs: Path) -> None:
    """Refuse, before the work, a plot of an unknown kind, or in the place of an input."""
    from irec.evaluation.plot_style import FORMATS

    if output.suffix.lower() not in FORMATS:
        raise UsageError(f"-o {output}: a plot's name ends in {', '.join(FORMATS)}")
    if output.resolve() in {path.resolve() for path in inputs}:
        raise UsageError(f"-o {output}: would overwrite what is to be read")


def _measure(
    codec: "Codec", data: bytes, pixels: "np.ndarray", n_points: int, original: Path
) -> Points:
    """(Bytes, PSNR in dB) of beginnings from the shortest that decodes to the whole file."""
    description = codec.describe(data)
    header, front = description.header, description.shortest_beginning or 0
    n_colours = header.colour.n_colour_channels
    expected = (header.height, header.width, header.n_channels)
    if pixels.shape != expected:
        of_file, given = (_size_of(*shape) for shape in (expected, pixels.shape))
        raise UsageError(f"holds an image of {of_file}, but {original} is one of {given}")
    left = len(data) - front
    lengths = {front + left * index // (n_points - 1) for index in range(n_points)}
    found: Points = []
    for length in sorted(lengths):
        decoded = codec.decode(data[:length], allow_truncated=True)
        # Alpha is exact in all of them.
        found.append((length, psnr_db(pixels[:, :, :n_colours], decoded[:, :, :n_colours])))
    return found


def _size_of(height: int, width: int, n_channels: int) -> str:
    return f"{width}x{height} pixels and {n_channels} channel{'s' * (n_channels > 1)}"
