"""``irec compress``: images to ``.irec`` files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from irec.commands.batch import Done, Work, one_line_errors, prepare_target, run_jobs
from irec.commands.jobs import Job, Naming, plan_jobs
from irec.commands.options import (
    DeviceOption,
    ForceOption,
    OutputOption,
    QuietOption,
    check_device,
)
from irec.images import IMAGE_SUFFIXES, read_image

DEFAULT_EFFORT = 5
DEFAULT_CHECKPOINT = "rvae-small"
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
    checkpoint: Annotated[
        str,
        typer.Option(metavar="NAME|PATH", help="Checkpoint that comes with irec, or its folder."),
    ] = DEFAULT_CHECKPOINT,
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
    """Compress images without loss: photo.png becomes photo.irec.

    Takes 8-bit PNG, WebP, BMP, TIFF, JPEG, PPM and PGM: RGB or greyscale, with or without alpha.
    The pixels come back exactly; metadata such as colour profiles and dates is not kept, but for
    the orientation of a photograph, to which its pixels are turned.
    """

    def start() -> Work:
        check_device(device)
        from irec.bitstream import write_atomically
        from irec.codec import LosslessCodec
        from irec.models.zoo import load_checkpoint

        model = load_checkpoint(checkpoint)
        codec = LosslessCodec(model, effort=effort, verify=verify, device=device)

        def work(job: Job) -> Done:
            pixels = read_image(job.source)
            prepare_target(job.target, force=force)
            data = codec.encode([pixels])[0].data
            write_atomically(job.target, data, overwrite=force)
            return Done(job.source.stat().st_size, len(data), pixels.size)

        return work

    with one_line_errors():
        jobs, problems = plan_jobs(inputs, output, NAMING)
        run_jobs(jobs, problems, start, _describe, quiet=quiet)


def _describe(done: Sequence[Done]) -> str:
    bytes_in, bytes_out = (sum(d.bytes_in for d in done), sum(d.bytes_out for d in done))
    text = f"{bytes_in:,} -> {bytes_out:,} bytes"
    if not done:
        return text
    share, bpd = bytes_out / max(1, bytes_in), 8 * bytes_out / sum(d.n_dims for d in done)
    return f"{text} ({share:.1%}), {bpd:.3f} bits per dimension"
