"""``irec models``: which checkpoints are installed."""

import json
from typing import Annotated, Any

import typer
from rich.table import Table

from irec.commands.batch import one_line_errors
from irec.defaults import DEFAULT_CHECKPOINT, DEFAULT_LOSSY_CHECKPOINT
from irec.terminal import say, show_table


def models(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object per model, one a line.")
    ] = False,
) -> None:
    """List the models that are installed, with the fingerprint that stands in their files."""
    with one_line_errors():
        facts = _facts()
        if as_json:
            for row in facts:
                say(json.dumps(row))
            return
        table = Table("model", "mode", "architecture", "fingerprint", "MB", "default of")
        for row in facts:
            size = f"{row['bytes'] / 1e6:.1f}"
            names = (row[key] for key in ("name", "mode", "architecture", "fingerprint"))
            table.add_row(*names, size, row["default_of"])
        show_table(table)


def _facts() -> list[dict[str, Any]]:
    from irec.models.zoo import installed_checkpoints

    defaults = {DEFAULT_CHECKPOINT: "compress", DEFAULT_LOSSY_CHECKPOINT: "compress --lossy"}
    return [
        {
            "name": found.name,
            "architecture": found.architecture,
            "mode": "lossy" if _is_lossy(found.architecture) else "lossless",
            "fingerprint": found.fingerprint.hex(),
            "bytes": found.n_bytes,
            "default_of": defaults.get(found.name, ""),
        }
        for found in installed_checkpoints()
    ]


def _is_lossy(architecture: str) -> bool:
    from irec.models.registry import KINDS

    is_lossy: bool = KINDS[architecture].resolve_codec().profile.is_lossy
    return is_lossy
