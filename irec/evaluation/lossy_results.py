"""Results of lossy compression: a row per image and quality, operating points, and a table."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from itertools import groupby
from typing import Any

from rich.table import Table


@dataclass(frozen=True)
class LossyResult:
    """What compressing one image at one quality gave.

    Attributes:
        name: Of the image.
        quality: 0 to 100 in halves; None for models of one quality.
        trade_off: The trade-off lambda between squared error and rate.
        height: pixels.
        width: pixels.
        channels: 1 or 3.
        file_bits: Size on disk; index + side bits.
        ideal_bits: KL(posterior || prior) of the exact posterior.
        index_bits: What the latent tensors took in the file.
        side_bits: Header, checksum, steps and rho, padding.
        psnr_db: Of the image that the file decodes to; infinite for equal images.
        ms_ssim: Of the same, 0 to 1; None for images too small for it.
        ideal_psnr_db: Of the image decoded from a sample of the exact posterior.
        ideal_ms_ssim: Of the same.
        encode_s: Seconds; of a batch, the image's share by its number of values.
        decode_s: seconds.
    """

    name: str
    quality: float | None
    trade_off: float
    height: int
    width: int
    channels: int
    file_bits: int
    ideal_bits: float
    index_bits: int
    side_bits: int
    psnr_db: float
    ms_ssim: float | None
    ideal_psnr_db: float
    ideal_ms_ssim: float | None
    encode_s: float
    decode_s: float

    @property
    def n_pixels(self) -> int:
        """Height x width."""
        return self.height * self.width

    @property
    def file_bpp(self) -> float:
        """File bits per pixel."""
        return self.file_bits / self.n_pixels

    @property
    def ideal_bpp(self) -> float:
        """Ideal bits per pixel."""
        return self.ideal_bits / self.n_pixels

    @property
    def setting(self) -> float:
        """The quality, or of models of one quality lambda."""
        return self.trade_off if self.quality is None else self.quality

    @property
    def identity(self) -> tuple[str, float | None]:
        """What no other row of the same run has; rows are sorted by it."""
        return self.name, self.quality


@dataclass(frozen=True)
class OperatingPoint:
    """Means over images of per-image values, all of one quality and lambda.

    Attributes:
        quality: As in the rows.
        trade_off: As in the rows.
        n_images: How many rows.
        file_bpp: Bits per pixel.
        ideal_bpp: Bits per pixel.
        overhead: `file_bpp` over `ideal_bpp` minus 1; None where the ideal is nothing.
        psnr_db: Of the decoded files; infinite if any image is exact.
        ms_ssim: Of the same, 0 to 1; None if any image has none.
        ms_ssim_db: -10 log10(1 - `ms_ssim`), of the mean as published curves have it.
        ideal_psnr_db: Of images decoded from samples of the exact posterior.
        ideal_ms_ssim: Of the same.
        ideal_ms_ssim_db: Of the same.
        encode_s: seconds.
        decode_s: seconds.
    """

    quality: float | None
    trade_off: float
    n_images: int
    file_bpp: float
    ideal_bpp: float
    overhead: float | None
    psnr_db: float
    ms_ssim: float | None
    ms_ssim_db: float | None
    ideal_psnr_db: float
    ideal_ms_ssim: float | None
    ideal_ms_ssim_db: float | None
    encode_s: float
    decode_s: float


def operating_points(rows: Sequence[LossyResult]) -> list[OperatingPoint]:
    """Average over the images of each quality and lambda; sorted by the rate of the files."""
    groups = groupby(sorted(rows, key=_setting), key=_setting)
    points = [_average(list(group)) for _, group in groups]
    return sorted(points, key=lambda point: point.file_bpp)


def lossy_totals(rows: Sequence[LossyResult]) -> dict[str, Any]:
    """Sum bits (exactly, as integers) and seconds of all rows, and average rates and distances.

    Returns:
        `n_rows`, `n_images` (different names), `n_operating_points`; sums of bits and seconds
        under their own names; `file_bpp`, `ideal_bpp`, `overhead`, `psnr_db`, `ms_ssim`,
        `ms_ssim_db` and their ideals as in :class:`OperatingPoint`, but over all rows. These mean
        little where `n_operating_points` is above 1: see :func:`operating_points`.
    """
    mean = asdict(_average(rows))
    summed = {
        field.name: sum(getattr(row, field.name) for row in rows)
        for field in fields(LossyResult)
        if field.name.endswith(("_bits", "_s"))
    }
    averaged = {
        name: value
        for name, value in mean.items()
        if name not in summed and name not in ("quality", "trade_off", "n_images")
    }
    return {
        "n_rows": len(rows),
        "n_images": len({row.name for row in rows}),
        "n_operating_points": len({_setting(row) for row in rows}),
        **summed,
        **averaged,
    }


def lossy_table(rows: Sequence[LossyResult]) -> Table:
    """Lay the results out for a terminal; the last rows are means, one for each quality."""
    table = _empty_table("image", "size")
    for row in rows:
        size = f"{row.width}x{row.height}x{row.channels}"
        table.add_row(row.name, size, *_cells(_average([row])))
    table.add_section()
    for point in operating_points(rows):
        table.add_row(f"mean of {point.n_images}", "", *_cells(point), style="bold")
    return table


def operating_points_table(points: Sequence[OperatingPoint]) -> Table:
    """Lay operating points out for a terminal."""
    table = _empty_table("images")
    for point in points:
        table.add_row(f"mean of {point.n_images}", *_cells(point))
    return table


def _empty_table(*leading: str) -> Table:
    table = Table(title="bits per pixel, PSNR and MS-SSIM in dB", title_style="bold")
    for heading in leading:
        table.add_column(heading, overflow="fold")
    for heading in ("quality", "lambda", "file", "ideal", "overhead"):
        table.add_column(heading, justify="right")
    for heading in ("PSNR", "ideal PSNR", "MS-SSIM", "ideal MS-SSIM", "encode s", "decode s"):
        table.add_column(heading, justify="right")
    return table


def _shown(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _setting(row: LossyResult) -> tuple[float, float]:
    return (-1.0 if row.quality is None else row.quality), row.trade_off


def _average(rows: Sequence[LossyResult]) -> OperatingPoint:
    def mean(name: str) -> float:
        return sum(getattr(row, name) for row in rows) / len(rows)

    def mean_ms_ssim(name: str) -> float | None:
        return None if any(getattr(row, name) is None for row in rows) else mean(name)

    file_bpp, ideal_bpp = mean("file_bpp"), mean("ideal_bpp")
    ms_ssim, ideal_ms_ssim = mean_ms_ssim("ms_ssim"), mean_ms_ssim("ideal_ms_ssim")
    return OperatingPoint(
        quality=rows[0].quality,
        trade_off=rows[0].trade_off,
        n_images=len(rows),
        file_bpp=file_bpp,
        ideal_bpp=ideal_bpp,
        overhead=file_bpp / ideal_bpp - 1.0 if ideal_bpp > 0.0 else None,
        psnr_db=mean("psnr_db"),
        ms_ssim=ms_ssim,
        ms_ssim_db=as_decibels(ms_ssim),
        ideal_psnr_db=mean("ideal_psnr_db"),
        ideal_ms_ssim=ideal_ms_ssim,
        ideal_ms_ssim_db=as_decibels(ideal_ms_ssim),
        encode_s=mean("encode_s"),
        decode_s=mean("decode_s"),
    )


def _cells(point: OperatingPoint) -> list[str]:
    return [
        "-" if point.quality is None else f"{point.quality:g}",
        f"{point.trade_off:.4g}",
        _shown(point.file_bpp, 4),
        _shown(point.ideal_bpp, 4),
        "-" if point.overhead is None else f"{point.overhead:+.1%}",
        _shown(point.psnr_db, 2),
        _shown(point.ideal_psnr_db, 2),
        _shown(point.ms_ssim_db, 2),
        _shown(point.ideal_ms_ssim_db, 2),
        _shown(point.encode_s, 2),
        _shown(point.decode_s, 2),
    ]


def as_decibels(ms_ssim: float | None) -> float | None:
    """-10 log10(1 - MS-SSIM), in dB; None where there is no MS-SSIM, infinity for 1."""
    if ms_ssim is None:
        return None
    return math.inf if ms_ssim >= 1.0 else -10.0 * math.log10(1.0 - ms_ssim)
