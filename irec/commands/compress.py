"""``irec compress``: images to ``.irec`` files."""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from irec.commands.batch import one_line_errors, prepare_target, run_jobs
from irec.commands.jobs import Job, Naming, UsageError, plan_jobs
from irec.commands.options import (
    Device,
    DeviceOption,
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
    number,
)
from irec.commands.outcomes import Done
from irec.commands.streams import source_of, write_result
from irec.defaults import (
    DEFAULT_CHECKPOINT,
    DEFAULT_EFFORT,
    DEFAULT_LOSSY_CHECKPOINT,
    DEFAULT_QUALITY,
)
from irec.errors import IrecError
from irec.files import OutputFileError, read_file
from irec.images import DEFAULT_MAX_PIXELS, IMAGE_SUFFIXES, JPEG_SUFFIXES, read_picture

if TYPE_CHECKING:
    from irec.codec import Codec

NAMING = Naming(IMAGE_SUFFIXES, ".irec", {".irec"})


def compress(
    inputs: Annotated[
        list[Path],
        # What cannot be read is reported like any other failure, after which the rest is done.
        typer.Argument(metavar="FILE|DIR", readable=False, help="Images, or folders of images."),
    ],
    output: OutputOption = None,
    effort: Annotated[
        int,
        typer.Option(
            metavar="1-9",
            parser=number(int, 1, 9),
            help="How hard to search: 1 is fastest, 9 gives the smallest files; each level takes "
            "about twice the time. Decoding always takes the same time.",
        ),
    ] = DEFAULT_EFFORT,
    lossy: Annotated[
        bool,
        typer.Option(
            "--lossy", help="Let colours change a little; files become many times smaller."
        ),
    ] = False,
    quality: Annotated[
        float | None,
        typer.Option(
            metavar="Q",
            parser=number(float, 0, 100),
            help="With --lossy: 0 (smallest files) to 100 (best images), in steps of 0.5. "
            f"Default: {DEFAULT_QUALITY:g}.",
        ),
    ] = None,
    target_bpp: Annotated[
        float | None,
        typer.Option(
            metavar="R",
            parser=number(float, 0, above=True),
            help="With --lossy: the best quality at which a file has at most R bits per pixel; "
            "takes a few times as long.",
        ),
    ] = None,
    target_psnr: Annotated[
        float | None,
        typer.Option(
            metavar="DB",
            parser=number(float, 0, above=True),
            help="With --lossy: the lowest quality whose PSNR is DB or more; takes a few times as "
            "long.",
        ),
    ] = None,
    checkpoint: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|PATH",
            help="Checkpoint that comes with irec, or its folder. Default: "
            f"{DEFAULT_CHECKPOINT}, with --lossy {DEFAULT_LOSSY_CHECKPOINT}.",
        ),
    ] = None,
    force: ForceOption = False,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify/--no-verify", help="Decode every file and compare before it is written."
        ),
    ] = True,
    device: DeviceOption = "cpu",
    skip_existing: Annotated[
        bool,
        typer.Option(
            "--skip-existing",
            help="Keep results of an earlier run that decode (without --lossy, to the same "
            "pixels), and do the rest.",
        ),
    ] = False,
    convert: Annotated[
        bool,
        typer.Option(
            "--convert",
            help="Take 16-bit, CMYK, animated and other images too, reduced to one of 8 bits and "
            "RGB; what that loses is said.",
        ),
    ] = False,
    metadata: MetadataOption = "all",
    model_only: Annotated[
        bool,
        typer.Option(
            "--model-only",
            help="Let the model code what lossless WebP or PNG inside the file take fewer bytes "
            "for: line art, screenshots, noise.",
        ),
    ] = False,
    max_pixels: MaxPixelsOption = DEFAULT_MAX_PIXELS,
    keep_time: KeepTimeOption = False,
    jobs: JobsOption = 1,
    quiet: QuietOption = False,
) -> None:
    """Compress images, without loss unless --lossy: photo.png becomes photo.irec.

    Takes 8-bit PNG, WebP, BMP, TIFF, JPEG, GIF, PPM and PGM: RGB or greyscale, with or without
    alpha. - stands for the standard input and output.

    Without --lossy the pixels come back exactly, with --lossy only alpha does. Colour profile, EXIF
    and XMP are kept (--metadata); pixels are turned as a camera's note of its orientation says.
    """
    with one_line_errors():
        if not (quality is None and target_bpp is None and target_psnr is None):
            _check_goal(lossy, quality, target_bpp, target_psnr)
        plan = plan_jobs(inputs, output, NAMING)
        work = _Compression(
            lossy=lossy,
            effort=effort,
            quality=quality,
            target_bpp=target_bpp,
            target_psnr=target_psnr,
            checkpoint=checkpoint,
            force=force,
            verify=verify,
            device=device,
            skip_existing=skip_existing,
            convert=convert,
            metadata=metadata,
            model_only=model_only,
            max_pixels=max_pixels,
            keep_time=keep_time,
        )
        describe = functools.partial(_describe, lossy=lossy)
        run_jobs(plan, work, describe, quiet=quiet, n_workers=jobs)


@dataclass(frozen=True)
class _Compression:
    """Compresses images; the attributes are options of the command."""

    lossy: bool
    effort: int
    quality: float | None
    target_bpp: float | None
    target_psnr: float | None
    checkpoint: str | None
    force: bool
    verify: bool
    device: Device
    skip_existing: bool
    convert: bool
    metadata: Kept
    model_only: bool
    max_pixels: int
    keep_time: bool

    @property
    def codec(self) -> "Codec":
        """Loaded once in each process."""
        from irec.codec import load_codec

        return load_codec(
            self.checkpoint,
            lossy=self.lossy,
            effort=self.effort,
            verify=self.verify,
            device=self.device,
        )

    def prepare(self) -> None:
        """Load the model, and say at once what no image can do."""
        check_device(self.device)
        codec = self.codec
        has_goal = (self.quality, self.target_bpp, self.target_psnr) != (None, None, None)
        if has_goal and not codec.has_quality:
            raise UsageError(
                f"{codec.name} is a model of one quality: it takes no --quality and no "
                "--target-bpp or --target-psnr"
            )

    def __call__(self, job: Job) -> Done | None:
        """Make one file."""
        from irec.codec import compress_with, is_stored, multiple_of

        source = source_of(job.source)
        picture = read_picture(
            source,
            convert=self.convert,
            max_pixels=self.max_pixels,
            multiple=multiple_of(self.codec.profile),
        )
        pixels = picture.pixels
        if self.skip_existing and job.target.exists():
            _check_whole(self.codec, job.target, pixels)
            return None
        prepare_target(job.target, force=self.force)
        data = compress_with(
            self.codec,
            pixels,
            self.quality,
            self.target_bpp,
            self.target_psnr,
            metadata=kept_of(picture.metadata, self.metadata),
            model_only=self.model_only,
        ).data
        time_of = job.source if self.keep_time else None
        write_result(job.target, data, overwrite=self.force, time_of=time_of)
        size = len(source) if isinstance(source, bytes) else source.stat().st_size
        height, width, n_channels = pixels.shape
        how = "stored without the model" if is_stored(data) else ""
        notes = (*picture.lost, *_growth(job.source, size, len(data)))
        return Done(size, len(data), height * width, n_channels, how, notes)


def _check_whole(codec: "Codec", path: Path, pixels: np.ndarray) -> None:
    """Raise an OutputFileError unless a file holds this image, as far as its kind can."""
    from irec.codec import codec_for, is_stored

    try:
        data = read_file(path)
        # Line art is kept without the model.
        decoded = (codec_for(data) if is_stored(data) else codec).decode(data)
    except IrecError as error:
        raise OutputFileError(
            f"{path} exists, but does not decode ({error}); --force without --skip-existing "
            "replaces it"
        ) from error
    if decoded.shape != pixels.shape or not (codec.profile.is_lossy or (decoded == pixels).all()):
        raise OutputFileError(
            f"{path} exists, but holds another image; --force without --skip-existing replaces it"
        )


def _growth(path: Path, bytes_in: int, bytes_out: int) -> Iterator[str]:
    """JPEGs are lossy already: to keep each pixel of what they decode to takes more room."""
    if bytes_out > bytes_in and path.suffix.lower() in JPEG_SUFFIXES:
        yield "larger than the JPEG that it came from; keep that, or compress --lossy"


def _check_goal(
    lossy: bool, quality: float | None, target_bpp: float | None, target_psnr: float | None
) -> None:
    if not lossy:
        raise UsageError("--quality, --target-bpp and --target-psnr need --lossy")
    if sum(value is not None for value in (quality, target_bpp, target_psnr)) > 1:
        raise UsageError("--quality, --target-bpp and --target-psnr exclude each other")


def _describe(done: Sequence[Done], lossy: bool) -> str:
    bytes_in, bytes_out = (sum(d.bytes_in for d in done), sum(d.bytes_out for d in done))
    text = f"{bytes_in:,} -> {bytes_out:,} bytes"
    if not done:
        return text
    if lossy:
        return f"{text}, {8 * bytes_out / sum(d.n_pixels for d in done):.4f} bits per pixel"
    share = bytes_out / max(1, bytes_in)
    bpd = 8 * bytes_out / sum(d.n_pixels * d.n_channels for d in done)
    return f"{text} ({share:.1%}), {bpd:.3f} bits per dimension"
