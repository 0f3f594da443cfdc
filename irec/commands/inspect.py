"""``irec inspect``: what an ``.irec`` file holds, and where its bytes go."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from irec.commands.endings import EXIT_FAILED
from irec.commands.endpoints import read_irec
from irec.commands.options import FileCheckpointOption
from irec.errors import IrecError, ModelMismatchError
from irec.terminal import say

if TYPE_CHECKING:
    from irec.codec import FileDescription

_COLOURS = {
    "RGB": "RGB",
    "GREY": "greyscale",
    "GREY_ALPHA": "greyscale with alpha",
    "RGBA": "RGB with alpha",
    "EQUAL_RGB": "RGB, but grey",
    "EQUAL_RGBA": "RGB with alpha, but grey",
}


def inspect(
    inputs: Annotated[
        list[Path], typer.Argument(metavar="FILE", readable=False, help=".irec files.")
    ],
    checkpoint: FileCheckpointOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object per file, one a line.")
    ] = False,
) -> None:
    """Say what .irec files hold, and where every byte goes."""
    n_failed = 0
    for path in inputs:
        try:
            facts = _facts(path, checkpoint)
        except IrecError as error:
            n_failed += 1
            message = str(error)
            message = message if str(path) in message else f"{path}: {message}"
            say(f"failed: {message}", sys.stderr)
        else:
            say(json.dumps(facts) if as_json else "\n".join(_lines(facts)))
    if n_failed:
        raise typer.Exit(EXIT_FAILED)


def _facts(path: Path, checkpoint: str | None) -> dict[str, Any]:
    """Everything that is said about a file, as plain types."""
    data = read_irec(path)
    from irec.bitstream import read_header
    from irec.codec import describe

    header = read_header(data)
    try:
        description = describe(data, checkpoint)
    except ModelMismatchError as error:
        image = f"{header.width}x{header.height} {_COLOURS[header.colour.name]}"
        raise ModelMismatchError(f"{path} holds an image of {image}, but {error}") from error
    return {
        "file": str(path),
        "bytes": len(data),
        "format_version": description.format_version,
        "mode": "lossy" if header.profile.is_lossy else "lossless",
        "profile": header.profile.name,
        "height": header.height,
        "width": header.width,
        "channels": header.n_channels,
        "colour": _COLOURS[header.colour.name],
        "fingerprint": header.fingerprint.hex(),
        "seed": header.seed,
        "candidates_per_step": header.profile.coder.candidates_per_step,
        "checkpoint": description.checkpoint,
        "quality": description.quality,
        "lambda": description.trade_off,
        "metadata_bytes": {n: len(part) for n, part in description.metadata.parts().items()},
        "sections_bits": description.sections,
        "tensors": _tensor_facts(description),
    }


def _tensor_facts(description: "FileDescription") -> list[dict[str, Any]]:
    """One row per tile and latent tensor, in the order in which they are coded."""
    from irec.coding.schedule import rho_of_index

    return [
        {
            "tile": tile_index,
            "tensor": tensor_index,
            "steps": tensor.n_steps,
            "rho": rho_of_index(tensor.rho_index),
            "index_bits": tensor.n_steps * description.header.profile.coder.bits_per_step,
        }
        for tile_index, tile in enumerate(description.tiles)
        for tensor_index, tensor in enumerate(tile.tensors)
    ]


def _lines(facts: dict[str, Any]) -> Iterator[str]:
    """Return the facts for a reader."""
    n_pixels = facts["height"] * facts["width"]
    if facts["mode"] == "lossy":
        rate = f"{8 * facts['bytes'] / n_pixels:.4f} bits per pixel"
    else:
        rate = f"{8 * facts['bytes'] / (n_pixels * facts['channels']):.3f} bits per dimension"
    yield f"{facts['file']}: {facts['bytes']:,} bytes, {rate}"
    yield f"  image   {facts['width']}x{facts['height']} {facts['colour']}, {facts['mode']}"
    yield f"  format  version {facts['format_version']}, profile {facts['profile']}"
    if facts["metadata_bytes"]:
        parts = (f"{name} {size:,} bytes" for name, size in facts["metadata_bytes"].items())
        yield f"  beside  {', '.join(parts)}"
    if facts["profile"] == "stored":
        yield "  model   none: lossless WebP, PNG or the bare values take fewer bytes"
    else:
        yield f"  model   {facts['checkpoint']} (fingerprint {facts['fingerprint']})"
    if facts["mode"] == "lossy":
        quality = "" if facts["quality"] is None else f"quality {facts['quality']:g}, "
        yield f"  lossy   {quality}lambda {facts['lambda']:.4g}"
    if facts["profile"] != "stored":
        yield f"  coder   seed {facts['seed']}, {facts['candidates_per_step']} candidates a step"
    yield ""
    yield f"  {'section':<12} {'bits':>12} {'bytes':>14} {'share':>8}"
    sections: dict[str, int] = facts["sections_bits"]
    total = sum(sections.values())
    for name, bits in [*sections.items(), ("total", total)]:
        label = name.replace("_", " ")
        yield f"  {label:<12} {bits:>12,} {bits / 8:>14,.3f} {bits / total:>8.2%}"
    if not facts["tensors"]:
        return
    yield ""
    yield f"  {'tensor':>6} {'steps':>10} {'index bits':>12} {'share':>8}  rho"
    for tensor in sorted({row["tensor"] for row in facts["tensors"]}):
        rows = [row for row in facts["tensors"] if row["tensor"] == tensor]
        steps, bits = (sum(row[key] for row in rows) for key in ("steps", "index_bits"))
        share = f"{bits / total:.2%}"
        yield f"  {tensor:>6} {steps:>10,} {bits:>12,} {share:>8}  {_rho_range(rows)}"


def _rho_range(rows: list[dict[str, Any]]) -> str:
    """Return the schedules of one tensor's tiles; none where nothing was sent."""
    rhos = [row["rho"] for row in rows if row["steps"]]
    if not rhos:
        return "-"
    low, high = min(rhos), max(rhos)
    return f"{low:.4f}" if low == high else f"{low:.4f} to {high:.4f}"
