"""``irec decompress``: ``.irec`` files to images."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from irec.commands.batch import one_line_errors, prepare_target, run_jobs
from irec.commands.jobs import STREAM, Job, Naming, plan_jobs
from irec.commands.options import (
    Device,
    DeviceOption,
    FileCheckpointOption,
    ForceOption,
    JobsOption,
    KeepTimeOption,
    Kept,
    MaxPixelsOption,
    MetadataOption,
    OutputOption,
    QuietOption,
    check_device,
    kept_of,
)
from irec.commands.outcomes import Done
from irec.commands.streams import read_irec, write_result
from irec.errors import IrecError
from irec.files import OutputFileError
from irec.images import (
    DEFAULT_MAX_PIXELS,
    JPEG_SUFFIXES,
    METADATA_SUFFIXES,
    OUTPUT_SUFFIXES,
    check_size,
    encode_image,
    read_image,
)
from irec.metadata import Metadata

NAMING = Naming({".irec"}, ".png", OUTPUT_SUFFIXES)


def decompress(
    inputs: Annotated[
        list[Path],
        typer.Argument(metavar="FILE|DIR", readable=False, help=".irec files, or folders of them."),
    ],
    output: OutputOption = None,
    checkpoint: FileCheckpointOption = None,
    allow_truncated: Annotated[
        bool,
        typer.Option(
            "--allow-truncated",
            help="Decode lossy files whose end is missing as far as they go. Damage in what is "
            "left goes unnoticed then.",
        ),
    ] = False,
    force: ForceOption = False,
    device: DeviceOption = "cpu",
    skip_existing: Annotated[
        bool,
        typer.Option(
            "--skip-existing",
            help="Keep results of an earlier run that are whole images of the right size, and do "
            "the rest.",
        ),
    ] = False,
    metadata: MetadataOption = "all",
    max_pixels: MaxPixelsOption = DEFAULT_MAX_PIXELS,
    keep_time: KeepTimeOption = False,
    jobs: JobsOption = 1,
    quiet: QuietOption = False,
) -> None:
    """Decompress .irec files: photo.irec becomes photo.png.

    The pixels of a lossless file are exactly those that were compressed; of whatever does not
    decode, an error says why.
    - stands for the standard input and output.

    With -o NAME the suffix of NAME chooses the format: .png, .webp, .tif, .ppm or .pgm, all without
    loss, or .jpg. Colour profile, EXIF and XMP are written into all but .ppm and .pgm.
    """
    with one_line_errors():
        plan = plan_jobs(inputs, output, NAMING)
        work = _Decompression(
            checkpoint=checkpoint,
            allow_truncated=allow_truncated,
            force=force,
            device=device,
            skip_existing=skip_existing,
            metadata=metadata,
            max_pixels=max_pixels,
            keep_time=keep_time,
        )
        run_jobs(plan, work, _describe, quiet=quiet, n_workers=jobs)


@dataclass(frozen=True)
class _Decompression:
    """Decompresses files; the attributes are options of the command."""

    checkpoint: str | None
    allow_truncated: bool
    force: bool
    device: Device
    skip_existing: bool
    metadata: Kept
    max_pixels: int
    keep_time: bool

    def prepare(self) -> None:
        """Which models are needed, the files say."""
        check_device(self.device)

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
        kept = kept_of(read_metadata(data), self.metadata)
        image = encode_image(pixels, suffix, kept)
        time_of = job.source if self.keep_time else None
        write_result(job.target, image, overwrite=self.force, time_of=time_of)
        height, width, n_channels = pixels.shape
        notes = _lost(kept, suffix)
        return Done(len(data), len(image), height * width, n_channels, notes=notes)


def _check_whole(path: Path, shape: tuple[int, int, int]) -> None:
    """Raise an OutputFileError unless an image of this shape can be read."""
    try:
        found = read_image(path).shape
    except IrecError as error:
        raise OutputFileError(
            f"{path} exists, but is not whole ({error}); --force without --skip-existing replaces "
            "it"
        ) from error
    if found != shape:
        raise OutputFileError(
            f"{path} exists, but is an image of another size; --force without --skip-existing "
            "replaces it"
        )


def _lost(metadata: Metadata, suffix: str) -> tuple[str, ...]:
    """Return what a format has no place for, or changes."""
    if suffix.lower() in JPEG_SUFFIXES:
        return (f"{suffix} files change the pixels a little; .png and .tif keep them",)
    if suffix.lower() in METADATA_SUFFIXES or not metadata:
        return ()
    return (f"{suffix} files hold no metadata: {', '.join(metadata.parts())} left out",)


def _describe(done: Sequence[Done]) -> str:
    return f"{sum(d.bytes_in for d in done):,} -> {sum(d.bytes_out for d in done):,} bytes"
