"""Results of either kind, lossless or lossy: rows, totals, tables, CSV and JSON files."""

import csv
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, ClassVar

from rich.table import Table

from irec.errors import DataError
from irec.evaluation.lossy_results import (
    LossyResult,
    OperatingPoint,
    by_point,
    lossy_totals,
    operating_points,
    sums,
)
from irec.files import read_file, unfinished, write_json

RESULT_FILES = ("results.json", "results.csv", "rate_distortion.png", "rate_distortion.csv")

# Columns of tables: the figure under each heading, and how it is written.
_LOSSLESS_COLUMNS = {
    "file": ("file_bpd", ".3f"),
    "ideal": ("ideal_bpd", ".3f"),
    "overhead": ("overhead", "+.1%"),
    "PNG": ("png_bpd", ".3f"),
    "WebP": ("webp_bpd", ".3f"),
    "encode s": ("encode_s", ".2f"),
    "decode s": ("decode_s", ".2f"),
}
_LOSSY_TITLE = "bits per pixel, PSNR and MS-SSIM in dB"
_LOSSY_COLUMNS = {
    "quality": ("quality", "g"),
    "lambda": ("trade_off", ".4g"),
    "file": ("file_bpp", ".4f"),
    "ideal": ("ideal_bpp", ".4f"),
    "overhead": ("overhead", "+.1%"),
    "PSNR": ("psnr_db", ".2f"),
    "ideal PSNR": ("ideal_psnr_db", ".2f"),
    "MS-SSIM": ("ms_ssim_db", ".2f"),
    "ideal MS-SSIM": ("ideal_ms_ssim_db", ".2f"),
    "encode s": ("encode_s", ".2f"),
    "decode s": ("decode_s", ".2f"),
}


@dataclass(frozen=True)
class ImageResult:
    """What compressing one image gave.

    Attributes:
        name: Of the image; unique among the results.
        channels: 1 to 4, alpha included.
        file_bits: Size of the ``.irec`` file; index + side + residual bits.
        ideal_bits: Negative ELBO, estimated with exact posterior samples.
        kl_bits: The part of `ideal_bits` that is KL(posterior || prior).
        index_bits: What the latent tensors took in the file.
        side_bits: Header, checksum, steps and rho, padding, alpha.
        residual_bits: What the pixels took given the latent tensors.
        encode_s: Seconds; of a batch, the image's share by its number of values.
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

    # As of any row; every pixel comes back.
    setting: ClassVar[None] = None
    psnr_db: ClassVar[float] = math.inf
    ms_ssim: ClassVar[float] = 1.0

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
    summed = {"n_images": len(rows), "n_dims": sum(row.n_dims for row in rows), **sums(rows)}
    for name in ("file", "ideal", "kl", "index", "side", "residual", "png", "webp"):
        bits = summed[f"{name}_bits"]
        summed[f"{name}_bpd"] = None if bits is None else bits / summed["n_dims"]
    summed["overhead"] = summed["file_bits"] / summed["ideal_bits"] - 1.0
    lost = summed["index_bits"] + summed["residual_bits"] - summed["ideal_bits"]
    summed["coder_loss"] = lost / summed["kl_bits"] if summed["kl_bits"] else None
    return summed


Row = ImageResult | LossyResult
_ROW_TYPES: tuple[type[ImageResult] | type[LossyResult], ...] = (ImageResult, LossyResult)


@dataclass(frozen=True)
class Results:
    """A results.json file.

    Attributes:
        settings: How the images were compressed.
        rows: All of one kind.
        failed: Names of the images that could not be compressed, with the reason.
    """

    settings: dict[str, Any]
    rows: list[Row]
    failed: dict[str, str]


def lossy_rows(rows: Sequence[Row]) -> list[LossyResult]:
    """Return rows that are lossy; none if they are lossless.

    Raises:
        DataError: There are both.
    """
    lossy = [row for row in rows if isinstance(row, LossyResult)]
    if lossy and len(lossy) < len(rows):
        raise DataError("lossless and lossy results cannot be summed together")
    return lossy


def totals(rows: Sequence[Row]) -> dict[str, Any]:
    """Sum rows of one kind, by :func:`lossless_totals` or :func:`lossy_totals`."""
    if lossy := lossy_rows(rows):
        return lossy_totals(lossy)
    return lossless_totals([row for row in rows if isinstance(row, ImageResult)])


def results_table(rows: Sequence[Row]) -> Table:
    """Lay rows of one kind out for a terminal; the last rows are totals or means."""
    lossy = lossy_rows(rows)
    columns = _LOSSY_COLUMNS if lossy else _LOSSLESS_COLUMNS
    title = _LOSSY_TITLE if lossy else "bits per dimension"
    table = empty_table(title, ("image", "size"), columns)
    for row in rows:
        size = f"{row.width}x{row.height}x{row.channels}"
        table.add_row(row.name, size, *_cells(_figures([row]), columns))
    table.add_section()
    parts: Sequence[Sequence[Row]] = by_point(lossy) if lossy else [rows]
    for part in parts:
        label = f"{'mean of' if lossy else 'all'} {len(part)}"
        table.add_row(label, "", *_cells(_figures(part), columns), style="bold")
    return table


def operating_points_table(points: Sequence[OperatingPoint]) -> Table:
    """Lay operating points out for a terminal."""
    table = empty_table(_LOSSY_TITLE, ("images",), _LOSSY_COLUMNS)
    for point in points:
        table.add_row(f"mean of {point.n_images}", *_cells(asdict(point), _LOSSY_COLUMNS))
    return table


def empty_table(title: str, words: Iterable[str], figures: Iterable[str]) -> Table:
    """Head a table for a terminal: columns of words, then columns of figures."""
    table = Table(title=title, title_style="bold")
    for heading in words:
        table.add_column(heading, overflow="fold")
    for heading in figures:
        table.add_column(heading, justify="right")
    return table


def _figures(rows: Sequence[Row]) -> dict[str, Any]:
    """Return what a line of a table says of rows: their settings, totals and mean seconds."""
    summed = totals(rows)
    seconds = {name: summed[name] / len(rows) for name in ("encode_s", "decode_s")}
    return vars(rows[0]) | summed | seconds


def _cells(figures: Mapping[str, Any], columns: Mapping[str, tuple[str, str]]) -> list[str]:
    return [shown(figures[name], form) for name, form in columns.values()]


def shown(value: float | int | str | None, form: str) -> str:
    """Format a figure; a dash where there is none."""
    return "-" if value is None else format(value, form)


def write_results(
    folder: Path,
    rows: Sequence[Row],
    settings: Mapping[str, Any],
    failed: Mapping[str, str],
) -> None:
    """Write results.csv and results.json into `folder`.

    The JSON document holds `settings`, `images` (the rows), `failed`, `total` and, of lossy rows,
    `operating_points`. JSON has no infinity: the PSNR of an exact image is the string "inf".

    Args:
        folder: Must exist.
        rows: Of the images that were compressed; at least one, all of one kind.
        settings: How they were.
        failed: Names of the images that could not be, with the reason; no total includes them.
    """
    dicts = [row_as_dict(row) for row in rows]
    write_csv(folder / "results.csv", dicts[0], (one.values() for one in dicts))
    document = {
        "settings": dict(settings),
        "images": dicts,
        "failed": dict(failed),
        "total": without_infinity(totals(rows)),
    }
    if lossy := lossy_rows(rows):
        points = operating_points(lossy)
        document["operating_points"] = [without_infinity(asdict(point)) for point in points]
    write_json(folder / "results.json", document)


def write_csv(path: Path, heading: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    """Write a table in place of an existing file."""
    with unfinished(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([heading, *rows])


def read_results(path: Path) -> Results:
    """Read what :func:`write_results` wrote into results.json.

    Raises:
        DataError: The file is absent, unreadable, or not of that form.
    """
    try:
        document = json.loads(read_file(path))
    except ValueError as error:
        raise DataError(f"{path}: not JSON ({error})") from error
    try:
        rows = [row_from_dict(entry) for entry in document["images"]]
        return Results(dict(document["settings"]), rows, dict(document["failed"]))
    except (KeyError, TypeError, ValueError, DataError) as error:
        raise DataError(f"{path}: not a results.json file of irec predict") from error


def row_as_dict(row: Row) -> dict[str, Any]:
    """Return a row as JSON has it."""
    return without_infinity(asdict(row))


def row_from_dict(entry: Mapping[str, Any]) -> Row:
    """Return the row that :func:`row_as_dict` made a dictionary of; its keys tell the kind.

    Raises:
        DataError: The keys are those of neither kind.
    """
    for row_type in _ROW_TYPES:
        if entry.keys() == {field.name for field in fields(row_type)}:
            # The only strings besides the name are infinite figures.
            values: dict[str, Any] = {
                key: float(value) if isinstance(value, str) and key != "name" else value
                for key, value in entry.items()
            }
            return row_type(**values)
    raise DataError("neither the keys of a lossless nor those of a lossy result")


def without_infinity(entry: dict[str, Any]) -> dict[str, Any]:
    """As strict JSON has it: infinite figures as the string "inf"."""
    return {
        key: str(value) if isinstance(value, float) and math.isinf(value) else value
        for key, value in entry.items()
    }
