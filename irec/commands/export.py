"""``irec export``: a training run's checkpoint to one that compresses."""

from pathlib import Path
from typing import Annotated

import typer

from irec.commands.batch import one_line_errors
from irec.commands.jobs import UsageError
from irec.defaults import SAMPLES
from irec.terminal import say


def export(
    run: Annotated[
        Path, typer.Argument(metavar="RUN.ckpt", help="Checkpoint written by irec fit.")
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="DIR", help="Folder to write, such as checkpoints/NAME."
        ),
    ],
    images: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="SOURCE",
            help="Folder, image file or .npy array of typical images; repeat it for several. On "
            "patches of them the usual cost of each latent tensor is measured, which keeps file "
            "headers short. Default: the bundled photographs.",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", "-f", help="Overwrite the checkpoint in DIR.")
    ] = False,
) -> None:
    """Turn a training checkpoint into one that compresses.

    Files compressed with a checkpoint need exactly that checkpoint to be decompressed.
    """
    with one_line_errors():
        if output.exists() and not output.is_dir():
            raise UsageError(f"-o {output}: a file; name a folder")
        if not force and output.is_dir() and any(output.glob("*.safetensors")):
            raise UsageError(f"-o {output}: holds a checkpoint already; --force overwrites it")
        from irec.codec.export import export_checkpoint
        from irec.datamodules.image_files import read_sources
        from irec.models.zoo import load_checkpoint

        export_checkpoint(run, output, list(read_sources(images or [SAMPLES])))
        fingerprint = load_checkpoint(output).fingerprint.hex()
    say(f"{run} -> {output} (fingerprint {fingerprint})")
