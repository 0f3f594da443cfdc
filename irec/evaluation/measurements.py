"""Measurements of any codec, ours or not, one for each image and setting; tables of them."""

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from rich.table import Table

from irec.errors import DataError, IrecError
from irec.evaluation.codecs import ClassicalCodec
from irec.evaluation.lossy_results import mean_of
from irec.evaluation.rate_distortion import Curve, is_kodak, published
from irec.evaluation.results import Results, empty_table, without_infinity
from irec.files import read_file

# How the columns of kodak_lossless.csv are called in tables.
_KODAK_COLUMNS = {
    "png_optimize": "PNG",
    "webp_lossless_m6": "WebP",
    "jpeg2000_reversible": "JPEG 2000",
    "jxl_lossless_e7": "JPEG XL (e7)",
    "jxl_lossless_e9": "JPEG XL (e9)",
}

Distance = Callable[[np.ndarray, np.ndarray], float | None]


@dataclass(frozen=True)
class Measurement:
    """What a codec made of an image at a setting.

    Attributes:
        codec: Its label.
        image: Its name.
        setting: None where the codec has none.
        channels: 1 to 4.
        psnr_db: Of the decoded image; infinite for lossless codecs.
        ms_ssim: Likewise, 0 to 1; None for images too small for it.
    """

    codec: str
    image: str
    setting: float | None
    height: int
    width: int
    channels: int
    file_bits: int
    psnr_db: float
    ms_ssim: float | None
    encode_s: float
    decode_s: float

    @property
    def bpp(self) -> float:
        """Bits per pixel."""
        return self.file_bits / (self.height * self.width)

    @property
    def n_dims(self) -> int:
        """Height x width x channels."""
        return self.height * self.width * self.channels

    @property
    def is_exact(self) -> bool:
        """Whether a lossless codec, or a lossless mode of one, made the file."""
        return self.setting is None and math.isinf(self.psnr_db)


def measure_classical(
    codec: ClassicalCodec,
    name: str,
    pixels: UInt8[np.ndarray, "h w c"],
    psnr_db: Callable[[np.ndarray, np.ndarray], float],
    ms_ssim: Distance,
) -> list[Measurement]:
    """Encode, decode and compare an image at each setting of a codec.

    Args:
        codec: Must not be missing.
        name: Of the image.
        pixels: Grey or RGB.
        psnr_db: Of two images.
        ms_ssim: Likewise.

    Raises:
        IrecError: A lossless codec gives other pixels back.
    """
    found = []
    for setting in codec.settings:
        started = time.perf_counter()
        data = codec.encode(pixels, setting)
        encoded = time.perf_counter()
        decoded = codec.decode(data)
        seconds = time.perf_counter() - encoded
        decoded = decoded[:, :, : pixels.shape[2]]
        is_same = np.array_equal(decoded, pixels)
        if codec.is_lossless and not is_same:
            raise IrecError(f"{codec.label} gives other pixels back for {name}")
        found.append(
            Measurement(
                codec.label,
                name,
                setting,
                *pixels.shape,
                file_bits=8 * len(data),
                psnr_db=math.inf if is_same else psnr_db(pixels, decoded),
                ms_ssim=1.0 if is_same else ms_ssim(pixels, decoded),
                encode_s=encoded - started,
                decode_s=seconds,
            )
        )
    return found


def measurements_of(results: Results) -> list[Measurement]:
    """Measurements out of what irec predict wrote."""
    codec = str(results.settings.get("checkpoint", "irec"))
    # The first three fields of a measurement are called otherwise in rows, or are none of theirs.
    shared = [field.name for field in fields(Measurement)[3:]]
    return [
        Measurement(codec, row.name, row.setting, *(getattr(row, name) for name in shared))
        for row in results.rows
    ]


def as_document(measurements: Sequence[Measurement]) -> dict[str, Any]:
    """Return what :func:`read_measurements` reads."""
    return {"measurements": [without_infinity(asdict(one)) for one in measurements]}


def read_measurements(path: Path) -> list[Measurement]:
    """Read the measurements.json of irec evaluate.

    Raises:
        DataError: The file is absent, unreadable, or not of that form.
    """
    try:
        entries = json.loads(read_file(path))["measurements"]
        return [Measurement(**{**one, "psnr_db": float(one["psnr_db"])}) for one in entries]
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: not a measurements.json of irec evaluate") from error


def by_codec(measurements: Sequence[Measurement]) -> dict[str, list[Measurement]]:
    """Measurements of each codec; the lossy mode of a codec that has both is called so."""
    groups: dict[tuple[str, bool], list[Measurement]] = {}
    for one in measurements:
        groups.setdefault((one.codec, one.is_exact), []).append(one)
    return {
        f"{label}, lossy" if not is_exact and (label, True) in groups else label: part
        for (label, is_exact), part in groups.items()
    }


def is_lossless(measurements: Sequence[Measurement]) -> bool:
    """Whether all images came back as they were."""
    return all(one.is_exact for one in measurements)


def mean_bpd(measurements: Sequence[Measurement]) -> float:
    """Bits per dimension of all images together."""
    return sum(one.file_bits for one in measurements) / sum(one.n_dims for one in measurements)


def by_setting(measurements: Sequence[Measurement]) -> list[list[Measurement]]:
    """Measurements at each setting, by rising setting."""
    settings = sorted({one.setting for one in measurements}, key=lambda x: x or 0.0)
    return [[one for one in measurements if one.setting == setting] for setting in settings]


def curve_of(label: str, measurements: Sequence[Measurement]) -> Curve:
    """Means over images of bits per pixel, PSNR and MS-SSIM, at each setting."""
    points = [
        (mean_of(here, "bpp"), mean_of(here, "psnr_db"), mean_of(here, "ms_ssim"))
        for here in by_setting(measurements)
    ]
    return Curve.of(label, points)


def lossless_comparison(measured: Mapping[str, Sequence[Measurement]]) -> Table:
    """Bits per dimension in the layout of the paper's table; what is quoted is marked.

    Args:
        measured: Of lossless codecs, all on the same images, by label.
    """
    images = {one.image for part in measured.values() for one in part}
    here = "Kodak" if is_kodak(images) else f"these {len(images)}"
    title = "bits per dimension; * as published, not measured here"
    table = empty_table(title, ("codec",), (here, "CIFAR-10*", "ImageNet32*", "Kodak*"))
    quoted = published_lossless()
    for label, part in sorted(measured.items(), key=lambda item: mean_bpd(item[1])):
        table.add_row(label, f"{mean_bpd(part):.3f}", *quoted.pop(label, ("", "", "")))
    table.add_section()
    for label, figures in quoted.items():
        table.add_row(f"{label} *", "", *figures)
    return table


def published_lossless() -> dict[str, tuple[str, str, str]]:
    """Rates on CIFAR-10, ImageNet32 and Kodak by codec."""
    return {
        row["codec"]: (row["cifar10"], row["imagenet32"], row["kodak"])
        for row in published("published_lossless.csv")
    }


def lossless_per_image(measured: Mapping[str, Sequence[Measurement]]) -> Table:
    """Bits per dimension of each image; of Kodak, beside what is known of classical codecs."""
    images = sorted({one.image for part in measured.values() for one in part})
    columns = {
        label: {one.image: f"{one.file_bits / one.n_dims:.3f}" for one in part}
        for label, part in measured.items()
    }
    if is_kodak(images):
        for name, rates in kodak_lossless().items():
            of_image = {image: rates[Path(image).stem.lower()] for image in images}
            columns.setdefault(f"{name}*", of_image)
    table = empty_table("bits per dimension; * measured before", ("image",), columns)
    for image in images:
        table.add_row(image, *(column.get(image, "-") for column in columns.values()))
    return table


def kodak_lossless() -> dict[str, dict[str, str]]:
    """Rates of classical codecs on each Kodak image, by codec and image."""
    rows = published("kodak_lossless.csv")
    return {
        label: {row["image"]: f"{float(row[column]):.3f}" for row in rows}
        for column, label in _KODAK_COLUMNS.items()
    }


def compressai_document(label: str, measurements: Sequence[Measurement]) -> dict[str, Any]:
    """Return a lossy codec's curve as CompressAI's plotting tools read it."""
    curve = curve_of(label, measurements)
    rows = zip(curve.bpp, curve.psnr_db, curve.ms_ssim, strict=True)
    # JSON knows no infinity.
    bpp, psnr_db, ms_ssim = zip(*(row for row in rows if math.isfinite(row[1])), strict=True)
    return {
        "name": label,
        "description": "Measured with irec evaluate",
        "results": {"bpp": bpp, "psnr-rgb": psnr_db, "ms-ssim-rgb": ms_ssim},
    }
