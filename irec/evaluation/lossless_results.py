"""Results of lossless compression: one row per image, totals, and a table for people."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from rich.table import Table


@dataclass(frozen=True)
class ImageResult:
    """What compressing one image gave.

    Attributes:
        name: Of the image; unique among the results.
        height: pixels.
        width: pixels.
        channels: 1 to 4, alpha included.
        file_bits: Size of the ``.irec`` file; index + side + residual bits.
        ideal_bits: Negative ELBO, estimated with exact posterior samples.
        kl_bits: The part of `ideal_bits` that is KL(posterior || prior).
        index_bits: What the latent tensors took in the file.
        side_bits: Header, checksum, steps and rho, padding, alpha.
        residual_bits: What the pixels took given the latent tensors.
        encode_s: Seconds; of a batch, the image's share by its number of values.
        decode_s: seconds.
        png_bits: Size of the image as a PNG file.
        webp_bits: Size as a lossless WebP file; None where WebP cannot hold the image.
    """

    name: str
    height: int
    width: int
    channels: int
    file_bits: int
    ideal_bits: float
    kl_bits: float
    index_bits: int
    side_bits: int
    residual_bits: int
    encode_s: float
    decode_s: float
    png_bits: int
    webp_bits: int | None

    @property
    def n_dims(self) -> int:
        """Height x width x channels."""
        return self.height * self.width * self.channels

    @property
    def identity(self) -> tuple[str, float | None]:
        """What no other row of the same run has; rows are sorted by it."""
        return self.name, None


def lossless_totals(rows: Sequence[ImageResult]) -> dict[str, Any]:
    """Sum bits (exactly, as integers) and seconds, and derive the rates.

    Returns:
        The sums under their own names; `n_images` and `n_dims`; `file_bpd` and its like in bits
        per dimension; `overhead`, file over ideal minus 1; `coder_loss`, (index + residual - ideal)
        over KL. WebP's sums are None where it cannot hold some image.
    """
    summed: dict[str, Any] = {"n_images": len(rows), "n_dims": sum(row.n_dims for row in rows)}
    for field in fields(ImageResult):
        if not field.name.endswith(("_bits", "_s")):
            continue
        values = [getattr(row, field.name) for row in rows]
        summed[field.name] = None if None in values else sum(values)
    for name in ("file", "ideal", "kl", "index", "side", "residual", "png", "webp"):
        bits = summed[f"{name}_bits"]
        summed[f"{name}_bpd"] = None if bits is None else bits / summed["n_dims"]
    summed["overhead"] = summed["file_bits"] / summed["ideal_bits"] - 1.0
    lost = summed["index_bits"] + summed["residual_bits"] - summed["ideal_bits"]
    summed["coder_loss"] = lost / summed["kl_bits"] if summed["kl_bits"] else None
    return summed


def lossless_table(rows: Sequence[ImageResult]) -> Table:
    """Lay the results out for a terminal; the last row holds all images together."""
    table = Table(title="bits per dimension", title_style="bold")
    table.add_column("image", overflow="fold")
    table.add_column("size")
    for heading in ("file", "ideal", "overhead", "PNG", "WebP", "encode s", "decode s"):
        table.add_column(heading, justify="right")
    for row in rows:
        size = f"{row.width}x{row.height}x{row.channels}"
        table.add_row(row.name, size, *_cells(lossless_totals([row])))
    table.add_section()
    table.add_row(f"all {len(rows)}", "", *_cells(lossless_totals(rows)), style="bold")
    return table


def _cells(summed: dict[str, Any]) -> list[str]:
    bpd = {name: summed[f"{name}_bpd"] for name in ("file", "ideal", "png", "webp")}
    shown = {name: "-" if value is None else f"{value:.3f}" for name, value in bpd.items()}
    mean_encode_s = summed["encode_s"] / summed["n_images"]
    mean_decode_s = summed["decode_s"] / summed["n_images"]
    return [
        shown["file"],
        shown["ideal"],
        f"{summed['overhead']:+.1%}",
        shown["png"],
        shown["webp"],
        f"{mean_encode_s:.2f}",
        f"{mean_decode_s:.2f}",
    ]
