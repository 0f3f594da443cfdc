"""``irec report``: results as one page that a person can look at."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from irec.commands.endpoints import prepare_target
from irec.commands.options import FileCheckpointOption, ForceOption, count_option
from irec.errors import DataError
from irec.files import read_file, write_atomically
from irec.terminal import say

if TYPE_CHECKING:
    import numpy as np

    from irec.evaluation.lossy_results import LossyResult
    from irec.evaluation.report import Picture
    from irec.evaluation.results import Results


def report(
    results: Annotated[
        list[Path],
        typer.Argument(
            metavar="RESULTS.json",
            help="results.json files of irec predict, measurements.json files of irec evaluate.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="OUT.html", help="Page to write.")
    ],
    images: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Where the originals are: then the page shows pictures, and lays what files "
            "decode to, and WebP and JPEG of the same size, over them.",
        ),
    ] = None,
    n_pictures: Annotated[
        int,
        count_option("How many pictures; they make the page large.", "--pictures", low=0),
    ] = 3,
    checkpoint: FileCheckpointOption = None,
    force: ForceOption = False,
) -> None:
    """Write results as one page: tables that sort, curves, pictures; it works offline."""
    prepare_target(output, force=force)
    from irec.evaluation.measurements import measurements_of, read_measurements
    from irec.evaluation.report import render
    from irec.evaluation.results import read_results

    measured, rows, pictures = [], {}, []
    for path in results:
        if b'"measurements"' in read_file(path)[:64]:
            measured += read_measurements(path)
            continue
        found = read_results(path)
        if not found.rows:
            raise DataError(f"{path}: holds no results")
        rows[str(found.settings.get("checkpoint", path.parent.name))] = found.rows
        measured += measurements_of(found)
        if images is not None:
            pictures += _pictures(path.parent, found, images, n_pictures, checkpoint)
    page = render(measured, rows, pictures[:n_pictures], f"irec: {output.stem}")
    write_atomically(output, page, overwrite=True)
    say(f"{len(measured)} files, {len(pictures[:n_pictures])} pictures -> {output}")


def _pictures(
    folder: Path, results: "Results", images: Path, n_pictures: int, checkpoint: str | None
) -> "list[Picture]":
    """Return the first images with what their files decode to; lossless ones by themselves."""
    from irec.evaluation.lossy_results import LossyResult
    from irec.evaluation.report import Picture
    from irec.images import read_image

    names = list(dict.fromkeys(row.name for row in results.rows))[:n_pictures]
    pictures = []
    for name in names:
        path = images / name
        if not path.is_file():
            raise DataError(f"--images {images}: there is no {name}")
        pixels = read_image(path)
        versions: dict[str, np.ndarray] = {}
        for row in results.rows:
            if row.name == name and isinstance(row, LossyResult):
                versions |= _versions(row, folder, pixels, checkpoint)
        pictures.append(Picture(name, pixels, versions))
    return pictures


def _versions(
    row: "LossyResult", folder: Path, pixels: "np.ndarray", checkpoint: str | None
) -> "dict[str, np.ndarray]":
    """Return what the file of a row decodes to, and other codecs' files of its size, by label."""
    from irec.codec import decompress
    from irec.evaluation.report import same_size

    place, own, other = "", "irec", ""
    if row.quality is not None:
        quality = f"{row.quality:g}"
        place, own = f"quality_{quality}", f"irec, quality {quality}"
        other = f", for quality {quality}"
    data = read_file((folder / place / row.name).with_suffix(".irec"))
    decoded = {f"{own} ({len(data):,} bytes)": decompress(data, checkpoint=checkpoint)}
    return decoded | {f"{label}{other}": v for label, v in same_size(pixels, len(data)).items()}
