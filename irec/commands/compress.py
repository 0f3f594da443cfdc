"""``irec compress``: images to ``.irec`` files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
import typer

from irec.commands.batch import FileCommand, unlike
from irec.commands.endings import UsageError
from irec.commands.endpoints import STREAM, prepare_target, read_stdin
from irec.commands.jobs import Done, Job, Naming
from irec.commands.options import count_option, file_name, number
from irec.defaults import (
    DEFAULT_CHECKPOINT,
    DEFAULT_EFFORT,
    DEFAULT_LOSSY_CHECKPOINT,
    DEFAULT_QUALITY,
)
from irec.errors import IrecError
from irec.files import read_file
from irec.images import IMAGE_SUFFIXES, JPEG_SUFFIXES, read_picture

if TYPE_CHECKING:
    from irec.codec import Codec


@dataclass(frozen=True, kw_only=True)
class Compress(FileCommand):
    """Compress images, without loss unless --lossy: photo.png becomes photo.irec.

    Takes 8-bit PNG, WebP, BMP, TIFF, JPEG, GIF, PPM and PGM: RGB or greyscale, with or without
    alpha. - stands for the standard input and output.

    Without --lossy the pixels come back exactly, with --lossy only alpha does. Colour profile, EXIF
    and XMP are kept (--metadata); pixels are turned as a camera's note of its orientation says.
    """

    naming: ClassVar[Naming] = Naming(IMAGE_SUFFIXES, ".irec", {".irec"})

    inputs: Annotated[
        list[Path],
        typer.Argument(metavar="FILE|DIR", parser=file_name, help="Images, or folders of images."),
    ]
    effort: Annotated[
        int,
        count_option(
            "How hard to search: 1 is fastest, 9 gives the smallest files; each level takes about "
            "twice the time. Decoding always takes the same time.",
            high=9,
        ),
    ] = DEFAULT_EFFORT
    lossy: Annotated[
        bool,
        typer.Option(
            "--lossy", help="Let colours change a little; files become many times smaller."
        ),
    ] = False
    quality: Annotated[
        float | None,
        typer.Option(
            metavar="Q",
            parser=number(float, 0, 100),
            help="With --lossy: 0 (smallest files) to 100 (best images), in steps of 0.5. "
            f"Default: {DEFAULT_QUALITY:g}.",
        ),
    ] = None
    target_bpp: Annotated[
        float | None,
        typer.Option(
            metavar="R",
            parser=number(float, 0, above=True),
            help="With --lossy: the best quality at which a file has at most R bits per pixel; "
            "takes a few times as long.",
        ),
    ] = None
    target_psnr: Annotated[
        float | None,
        typer.Option(
            metavar="DB",
            parser=number(float, 0, above=True),
            help="With --lossy: the lowest quality whose PSNR is DB or more; takes a few times as "
            "long.",
        ),
    ] = None
    checkpoint: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|PATH",
            help="Checkpoint that comes with irec, or its folder. Default: "
            f"{DEFAULT_CHECKPOINT}, with --lossy {DEFAULT_LOSSY_CHECKPOINT}.",
        ),
    ] = None
    verify: Annotated[
        bool,
        typer.Option(
            "--verify/--no-verify", help="Decode every file and compare before it is written."
        ),
    ] = True
    skip_existing: Annotated[
        bool,
        typer.Option(
            "--skip-existing",
            help="Keep results of an earlier run that decode (without --lossy, to the same "
            "pixels), and do the rest.",
        ),
    ] = False
    convert: Annotated[
        bool,
        typer.Option(
            "--convert",
            help="Take 16-bit, CMYK, animated and other images too, reduced to one of 8 bits and "
            "RGB; what that loses is said.",
        ),
    ] = False
    model_only: Annotated[
        bool,
        typer.Option(
            "--model-only",
            help="Let the model code what lossless WebP or PNG inside the file take fewer bytes "
            "for: line art, screenshots, noise.",
        ),
    ] = False

    def __post_init__(self) -> None:
        """Refuse options that do not go together."""
        goals = "--quality, --target-bpp and --target-psnr"
        if self._n_goals and not self.lossy:
            raise UsageError(f"{goals} need --lossy")
        if self._n_goals > 1:
            raise UsageError(f"{goals} exclude each other")

    @property
    def _n_goals(self) -> int:
        goals = (self.quality, self.target_bpp, self.target_psnr)
        return sum(goal is not None for goal in goals)

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
        super().prepare()
        codec = self.codec
        if self._n_goals and not codec.has_quality:
            raise UsageError(
                f"{codec.name} is a model of one quality: it takes no --quality and no "
                "--target-bpp or --target-psnr"
            )

    def __call__(self, job: Job) -> Done | None:
        """Make one file."""
        from irec.codec import compress_with, is_stored, multiple_of

        source = read_stdin() if job.source == STREAM else job.source
        picture = read_picture(
            source,
            convert=self.convert,
            max_pixels=self.max_pixels,
            multiple=multiple_of(self.codec.profile),
        )
        pixels = picture.pixels
        if self.skip_existing and job.target.exists():
            self._check_whole(job.target, pixels)
            return None
        prepare_target(job.target, force=self.force)
        data = compress_with(
            self.codec,
            pixels,
            self.quality,
            self.target_bpp,
            self.target_psnr,
            metadata=self.kept(picture.metadata),
            model_only=self.model_only,
        ).data
        self.write(job, data)
        size = len(source) if isinstance(source, bytes) else source.stat().st_size
        height, width, n_channels = pixels.shape
        how = "stored without the model" if is_stored(data) else ""
        notes = picture.lost
        if len(data) > size and job.source.suffix.lower() in JPEG_SUFFIXES:
            # JPEGs are lossy already: to keep each pixel of what they decode to takes more room.
            notes += ("larger than the JPEG that it came from; keep that, or compress --lossy",)
        return Done(size, len(data), height * width, n_channels, how, notes)

    def _check_whole(self, path: Path, pixels: np.ndarray) -> None:
        """Raise an OutputFileError unless a file holds this image, as far as its kind can."""
        from irec.codec import codec_for, is_stored

        try:
            data = read_file(path)
            # Line art is kept without the model.
            decoded = (codec_for(data) if is_stored(data) else self.codec).decode(data)
        except IrecError as error:
            raise unlike(path, f"does not decode ({error})") from error
        if decoded.shape != pixels.shape or not (self.lossy or (decoded == pixels).all()):
            raise unlike(path, "holds another image")

    def describe(self, done: Sequence[Done]) -> str:
        """Say also how many bits that is."""
        text = super().describe(done)
        if not done:
            return text
        n_bytes = sum(one.bytes_out for one in done)
        if self.lossy:
            return f"{text}, {8 * n_bytes / sum(d.n_pixels for d in done):.4f} bits per pixel"
        share = n_bytes / max(1, sum(one.bytes_in for one in done))
        bpd = 8 * n_bytes / sum(one.n_pixels * one.n_channels for one in done)
        return f"{text} ({share:.1%}), {bpd:.3f} bits per dimension"
