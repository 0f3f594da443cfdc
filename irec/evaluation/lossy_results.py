"""Results of lossy compression: a row per image and quality, and operating points."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from itertools import groupby
from typing import Any


@dataclass(frozen=True)
class LossyResult:
    """What compressing one image at one quality gave.

    Attributes:
        name: Of the image.
        quality: 0 to 100 in halves; None for models of one quality.
        trade_off: The trade-off lambda between squared error and rate.
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
    def file_bpp(self) -> float:
        """File bits per pixel."""
        return self.file_bits / (self.height * self.width)

    @property
    def ideal_bpp(self) -> float:
        """Ideal bits per pixel."""
        return self.ideal_bits / (self.height * self.width)

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
    """Means over images of what :class:`LossyResult` says of each, all of one quality and lambda.

    Attributes:
        n_images: How many rows.
        overhead: `file_bpp` over `ideal_bpp` minus 1; None where the ideal is nothing.
        psnr_db: Infinite if any image is exact.
        ms_ssim: None if any image has none.
        ms_ssim_db: -10 log10(1 - `ms_ssim`), of the mean as published curves have it.
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
    return list(map(_average, by_point(rows)))


def by_point(rows: Sequence[LossyResult]) -> list[list[LossyResult]]:
    """Rows of each quality and lambda; sorted by the rate of the files."""

    def point(row: LossyResult) -> tuple[float, float]:
        return (-1.0 if row.quality is None else row.quality), row.trade_off

    groups = [list(group) for _, group in groupby(sorted(rows, key=point), key=point)]
    return sorted(groups, key=lambda group: mean_of(group, "file_bpp"))


def lossy_totals(rows: Sequence[LossyResult]) -> dict[str, Any]:
    """Sum bits (exactly, as integers) and seconds of all rows, and average rates and distances.

    Returns:
        `n_rows`, `n_images` (different names), `n_operating_points`; sums of bits and seconds
        under their own names; `file_bpp`, `ideal_bpp`, `overhead`, `psnr_db`, `ms_ssim`,
        `ms_ssim_db` and their ideals as in :class:`OperatingPoint`, but over all rows. These mean
        little where `n_operating_points` is above 1: see :func:`operating_points`.
    """
    averaged = asdict(_average(rows))
    for name in ("quality", "trade_off", "n_images", "encode_s", "decode_s"):
        del averaged[name]
    return {
        "n_rows": len(rows),
        "n_images": len({row.name for row in rows}),
        "n_operating_points": len(by_point(rows)),
        **sums(rows),
        **averaged,
    }


def sums(rows: Sequence[Any]) -> dict[str, Any]:
    """Sum bits (exactly, as integers) and seconds, by name; None where one of the rows has none."""
    names = [field.name for field in fields(rows[0]) if field.name.endswith(("_bits", "_s"))]
    values = {name: [getattr(row, name) for row in rows] for name in names}
    return {name: None if None in of_rows else sum(of_rows) for name, of_rows in values.items()}


def mean_of(rows: Sequence[Any], name: str) -> Any:
    """Average an attribute of rows; None where it is None in one of them."""
    values = [getattr(row, name) for row in rows]
    return None if None in values else sum(values) / len(values)


def _average(rows: Sequence[LossyResult]) -> OperatingPoint:
    distances = ("psnr_db", "ms_ssim", "ideal_psnr_db", "ideal_ms_ssim")
    names = ("file_bpp", "ideal_bpp", *distances, "encode_s", "decode_s")
    means = {name: mean_of(rows, name) for name in names}
    ideal_bpp = means["ideal_bpp"]
    return OperatingPoint(
        quality=rows[0].quality,
        trade_off=rows[0].trade_off,
        n_images=len(rows),
        overhead=means["file_bpp"] / ideal_bpp - 1.0 if ideal_bpp > 0.0 else None,
        ms_ssim_db=as_decibels(means["ms_ssim"]),
        ideal_ms_ssim_db=as_decibels(means["ideal_ms_ssim"]),
        **means,
    )


def as_decibels(ms_ssim: float | None) -> float | None:
    """-10 log10(1 - MS-SSIM), in dB; None where there is no MS-SSIM, infinity for 1."""
    if ms_ssim is None:
        return None
    return math.inf if ms_ssim >= 1.0 else -10.0 * math.log10(1.0 - ms_ssim)
