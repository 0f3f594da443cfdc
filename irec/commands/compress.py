"""``irec compress``: images to ``.irec`` files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from irec.commands.batch import Done, Work, one_line_errors, prepare_target, run_jobs
from irec.commands.jobs import Job, Naming, UsageError, plan_jobs
from irec.commands.options import (
    DeviceOption,
    ForceOption,
    OutputOption,
    QuietOption,
    check_device,
)
from irec.files import write_atomically
from irec.images import IMAGE_SUFFIXES, read_image

DEFAULT_EFFORT = 5
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
            min=1,
            max=9,
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
            min=0,
            max=100,
            help="With --lossy: 0 (smallest files) to 100 (best images), in steps of 0.5. "
            "Default: 50.",
        ),
    ] = None,
    target_bpp: Annotated[
        float | None,
        typer.Option(
            metavar="R",
            help="With --lossy: the best quality at which a file has at most R bits per pixel; "
            "takes a few times as long.",
        ),
    ] = None,
    checkpoint: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|PATH",
            help="Checkpoint that comes with irec, or its folder. Default: rvae-small, with "
            "--lossy two-level-vae-small.",
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
    quiet: QuietOption = False,
) -> None:
    """Compress images, without loss unless --lossy: photo.png becomes photo.irec.

    Takes 8-bit PNG, WebP, BMP, TIFF, JPEG, PPM and PGM: RGB or greyscale, with or without alpha.
    Without --lossy the pixels come back exactly; metadata such as colour profiles and dates is not
    kept, but for the orientation of a photograph, to which its pixels are turned. With --lossy only
    alpha comes back exactly.
    """
    asks_for_rate = quality is not None or target_bpp is not None

    def start() -> Work:
        check_device(device)
        from irec.codec import load_codec

        codec = load_codec(checkpoint, lossy=lossy, effort=effort, verify=verify, device=device)
        if asks_for_rate and not codec.has_quality:
            # Once, rather than of each image.
            raise UsageError(
                f"{codec.checkpoint.name} is a model of one rate: it takes no --quality and no "
                "--target-bpp"
            )

        def work(job: Job) -> Done:
            pixels = read_image(job.source)
            prepare_target(job.target, force=force)
            if target_bpp is not None:
                data = codec.encode_within(pixels, target_bpp).data
            else:
                data = codec.encode(pixels, quality).data
            write_atomically(job.target, data, overwrite=force)
            height, width, n_channels = pixels.shape
            return Done(job.source.stat().st_size, len(data), height * width, n_channels)

        return work

    with one_line_errors():
        if asks_for_rate:
            _check_rate(lossy, quality, target_bpp)
        plan = plan_jobs(inputs, output, NAMING)
        run_jobs(plan, start, _describe_lossy if lossy else _describe, quiet=quiet)


def _check_rate(lossy: bool, quality: float | None, target_bpp: float | None) -> None:
    if not lossy:
        raise UsageError("--quality and --target-bpp need --lossy")
    if quality is not None and target_bpp is not None:
        raise UsageError("--quality and --target-bpp exclude each other")
    if target_bpp is not None and not target_bpp > 0.0:
        raise UsageError(f"--target-bpp {target_bpp:g}: bits per pixel are more than 0")


def _describe_lossy(done: Sequence[Done]) -> str:
    bytes_in, bytes_out = (sum(d.bytes_in for d in done), sum(d.bytes_out for d in done))
    text = f"{bytes_in:,} -> {bytes_out:,} bytes"
    if not done:
        return text
    return f"{text}, {8 * bytes_out / sum(d.n_pixels for d in done):.4f} bits per pixel"


def _describe(done: Sequence[Done]) -> str:
    bytes_in, bytes_out = (sum(d.bytes_in for d in done), sum(d.bytes_out for d in done))
    text = f"{bytes_in:,} -> {bytes_out:,} bytes"
    if not done:
        return text
    share = bytes_out / max(1, bytes_in)
    bpd = 8 * bytes_out / sum(d.n_pixels * d.n_channels for d in done)
    return f"{text} ({share:.1%}), {bpd:.3f} bits per dimension"
