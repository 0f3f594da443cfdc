"""``irec models`` and ``irec export``: the checkpoints that are installed, and one more."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from irec.commands.endings import UsageError
from irec.defaults import DEFAULT_CHECKPOINT, DEFAULT_LOSSY_CHECKPOINT, SAMPLES
from irec.terminal import say, show_table


def models(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object per model, one a line.")
    ] = False,
) -> None:
    """List the models that are installed, with the fingerprint that stands in their files."""
    facts = _facts()
    if as_json:
        for row in facts:
            say(json.dumps(row))
        return
    table = Table("model", "mode", "architecture", "fingerprint", "MB", "default of")
    for row in facts:
        names = (row[key] for key in ("name", "mode", "architecture", "fingerprint"))
        table.add_row(*names, f"{row['bytes'] / 1e6:.1f}", row["default_of"])
    show_table(table)


def _facts() -> list[dict[str, Any]]:
    from irec.models.registry import KINDS
    from irec.models.zoo import installed_checkpoints

    defaults = {DEFAULT_CHECKPOINT: "compress", DEFAULT_LOSSY_CHECKPOINT: "compress --lossy"}

    def is_lossy(architecture: str) -> bool:
        return KINDS[architecture].resolve_codec().profile.is_lossy

    return [
        {
            "name": found.name,
            "architecture": found.architecture,
            "mode": "lossy" if is_lossy(found.architecture) else "lossless",
            "fingerprint": found.fingerprint.hex(),
            "bytes": found.n_bytes,
            "default_of": defaults.get(found.name, ""),
        }
        for found in installed_checkpoints()
    ]


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
            "their patches, of 192x192 pixels at most, the usual cost of each latent tensor is "
            "measured, which keeps file headers short. Default: the bundled photographs.",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", "-f", help="Overwrite the checkpoint in DIR.")
    ] = False,
) -> None:
    """Turn a training checkpoint into one that compresses.

    Files compressed with a checkpoint need exactly that checkpoint to be decompressed.
    """
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
