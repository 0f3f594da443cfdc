"""``irec decompress``: ``.irec`` files to images."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import typer

from irec.commands.batch import FileCommand, unlike
from irec.commands.endpoints import STREAM, prepare_target, read_irec
from irec.commands.jobs import Done, Job, Naming
from irec.commands.options import FileCheckpointOption, file_name
from irec.errors import IrecError
from irec.images import (
    JPEG_SUFFIXES,
    METADATA_SUFFIXES,
    OUTPUT_SUFFIXES,
    check_size,
    encode_image,
    read_image,
)
from irec.metadata import Metadata


@dataclass(frozen=True, kw_only=True)
class Decompress(FileCommand):
    """Decompress .irec files: photo.irec becomes photo.png.

    The pixels of a lossless file are exactly those that were compressed; of whatever does not
    decode, an error says why.
    As a name, - stands for the standard input and output.

    With -o NAME the suffix of NAME chooses the format: .png, .webp, .tif, .ppm or .pgm, all without
    loss, or .jpg. Colour profile, EXIF and XMP are written into all but .ppm and .pgm.
    """

    naming: ClassVar[Naming] = Naming({".irec"}, ".png", OUTPUT_SUFFIXES)

    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE|DIR", parser=file_name, help=".irec files, or folders of them."
        ),
    ]
    checkpoint: FileCheckpointOption = None
    allow_truncated: Annotated[
        bool,
        typer.Option(
            "--allow-truncated",
            help="Decode lossy files whose end is missing as far as they go. Damage in what is "
            "left goes unnoticed then.",
        ),
    ] = False
    skip_existing: Annotated[
        bool,
        typer.Option(
            "--skip-existing",
            help="Keep results of an earlier run that are whole images of the right size, and do "
            "the rest.",
        ),
    ] = False

    def __call__(self, job: Job) -> Done | None:
        """Make one image."""
        from irec.bitstream import read_header
        from irec.codec import codec_for, multiple_of, read_metadata

        data = read_irec(job.source)
        header = read_header(data)
        multiple = multiple_of(header.profile)
        check_size(header.width, header.height, self.max_pixels, str(job.source), multiple)
        if self.skip_existing and job.target.exists():
            _check_whole(job.target, (header.height, header.width, header.n_channels))
            return None
        prepare_target(job.target, force=self.force)
        codec = codec_for(data, checkpoint=self.checkpoint, device=self.device)
        pixels = codec.decode(data, self.allow_truncated)
        suffix = ".png" if job.target == STREAM else job.target.suffix
        kept = self.kept(read_metadata(data))
        image = encode_image(pixels, suffix, kept)
        self.write(job, image)
        height, width, n_channels = pixels.shape
        notes = _lost(kept, suffix)
        return Done(len(data), len(image), height * width, n_channels, notes=notes)


def _check_whole(path: Path, shape: tuple[int, int, int]) -> None:
    """Raise an OutputFileError unless an image of this shape can be read."""
    try:
        found = read_image(path).shape
    except IrecError as error:
        raise unlike(path, f"is not whole ({error})") from error
    if found != shape:
        raise unlike(path, "is an image of another size")


def _lost(metadata: Metadata, suffix: str) -> tuple[str, ...]:
    """Return what a format has no place for, or changes."""
    if suffix.lower() in JPEG_SUFFIXES:
        return (f"{suffix} files change the pixels a little; .png and .tif keep them",)
    if suffix.lower() in METADATA_SUFFIXES or not metadata:
        return ()
    return (f"{suffix} files hold no metadata: {', '.join(metadata.parts())} left out",)
