"""``irec decompress``: ``.irec`` files to images."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from irec.commands.batch import (
    Done,
    Work,
    one_line_errors,
    prepare_target,
    run_jobs,
)
from irec.commands.jobs import Job, Naming, plan_jobs
from irec.commands.options import (
    DeviceOption,
    FileCheckpointOption,
    ForceOption,
    OutputOption,
    QuietOption,
    check_device,
)
from irec.files import read_file, write_atomically
from irec.images import OUTPUT_SUFFIXES, encode_image

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
    quiet: QuietOption = False,
) -> None:
    """Decompress .irec files: photo.irec becomes photo.png.

    The pixels of a lossless file are exactly those that were compressed; of whatever does not
    decode, an error says why.
    With -o NAME the suffix of NAME chooses the format: .png, .webp (lossless), .ppm or .pgm.
    """

    def start() -> Work:
        check_device(device)
        from irec.codec import codec_for

        def work(job: Job) -> Done:
            data = read_file(job.source)
            prepare_target(job.target, force=force)
            codec = codec_for(data, checkpoint=checkpoint, device=device)
            pixels = codec.decode(data, allow_truncated)
            image = encode_image(pixels, job.target.suffix)
            write_atomically(job.target, image, overwrite=force)
            height, width, n_channels = pixels.shape
            return Done(len(data), len(image), height * width, n_channels)

        return work

    with one_line_errors():
        plan = plan_jobs(inputs, output, NAMING)
        run_jobs(plan, start, _describe, quiet=quiet)


def _describe(done: Sequence[Done]) -> str:
    return f"{sum(d.bytes_in for d in done):,} -> {sum(d.bytes_out for d in done):,} bytes"
