"""One page that shows results: tables that sort, curves, pictures to lay over one another."""

import base64
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from irec.evaluation.lossy_results import LossyResult, as_decibels
from irec.evaluation.measurements import (
    Measurement,
    by_codec,
    curve_of,
    is_lossless,
    mean_bpd,
)
from irec.evaluation.plot_style import BLUE, GREEN, GREY, VERMILION
from irec.evaluation.plots import AXES
from irec.evaluation.rate_distortion import Curve
from irec.evaluation.results import Row, totals
from irec.images import as_pillow

_TEMPLATE = Path(__file__).parent / "report.html.j2"
_THUMBNAIL_SIDE = 160
_COLOURS = (BLUE, VERMILION, GREEN, GREY, "#CC79A7", "#E69F00", "#56B4E9", "#000000")


@dataclass(frozen=True)
class Cell:
    """What a table shows, and the number that it sorts by; words sort by themselves."""

    text: str
    value: float | int | None = None


@dataclass(frozen=True)
class Picture:
    """An image to be looked at, and versions of it to be laid over it.

    Attributes:
        name: Of the image.
        original: uint8 [h, w, c].
        versions: What to lay over it, by a label that says how many bytes it takes.
    """

    name: str
    original: UInt8[np.ndarray, "h w c"]
    versions: Mapping[str, UInt8[np.ndarray, "h w c"]]


def render(
    measurements: Sequence[Measurement],
    rows: Mapping[str, Sequence[Row]],
    pictures: Sequence[Picture] = (),
    title: str = "irec",
) -> str:
    """Return the page, which needs no other file and no network.

    Args:
        measurements: Of all codecs.
        rows: Of our codecs, which know their ideal too, by label.
        pictures: To be looked at.
        title: Of the page.
    """
    # Takes a third of a second to import.
    import jinja2

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    groups = by_codec(measurements)
    curves = [curve_of(label, part) for label, part in groups.items() if not is_lossless(part)]
    return environment.from_string(_TEMPLATE.read_text()).render(
        title=title,
        n_images=len({one.image for one in measurements}),
        codecs=_codecs(groups),
        overheads=_overheads(rows),
        files=_files(groups),
        plot=_plot(curves) if curves else "",
        pictures=[_shown(picture) for picture in pictures],
    )


def same_size(
    pixels: UInt8[np.ndarray, "h w c"], n_bytes: int
) -> dict[str, UInt8[np.ndarray, "h w c"]]:
    """Return an image as WebP and JPEG of at most so many bytes, if they get that small."""
    versions = {}
    for file_format, options in (("WEBP", {"method": 6}), ("JPEG", {"optimize": True})):
        low, high, best = 0, 100, None
        while low <= high:
            quality = (low + high) // 2
            buffer = io.BytesIO()
            _as_image(pixels).save(buffer, file_format, quality=quality, **options)
            if buffer.tell() <= n_bytes:
                best, low = buffer, quality + 1
            else:
                high = quality - 1
        if best is not None:
            name = "WebP" if file_format == "WEBP" else "JPEG"
            label = f"{name} of the same size ({best.tell():,} bytes)"
            with Image.open(best) as image:
                versions[label] = np.asarray(image.convert("RGB"))
    return versions


def _codecs(groups: Mapping[str, Sequence[Measurement]]) -> list[list[Cell]]:
    table = []
    for label, part in groups.items():
        settings = sorted({one.setting for one in part}, key=lambda x: x or 0.0)
        for setting in settings:
            here = [one for one in part if one.setting == setting]
            curve = curve_of(label, here)
            (bpp,), (db,), (similarity,) = curve.bpp, curve.psnr_db, curve.ms_ssim
            table.append(
                [
                    Cell(label),
                    Cell("-" if setting is None else f"{setting:g}", setting),
                    _number(mean_bpd(here), 3),
                    _number(bpp, 3),
                    _number(db, 2),
                    _number(as_decibels(similarity), 2),
                    _number(sum(one.encode_s for one in here) / len(here), 2),
                    _number(sum(one.decode_s for one in here) / len(here), 2),
                ]
            )
    return table


def _overheads(rows: Mapping[str, Sequence[Row]]) -> list[list[Cell]]:
    """Label, image, quality, ideal and file in bytes, overhead."""
    found = []
    for label, part in rows.items():
        for row in part:
            overhead = totals([row])["overhead"]
            quality = row.quality if isinstance(row, LossyResult) else None
            found.append(
                [
                    Cell(label),
                    Cell(row.name),
                    Cell("-" if quality is None else f"{quality:g}", quality),
                    Cell(f"{row.ideal_bits / 8:,.0f}", row.ideal_bits),
                    Cell(f"{row.file_bits // 8:,}", row.file_bits),
                    Cell("-" if overhead is None else f"{overhead:+.1%}", overhead),
                ]
            )
    return found


def _files(groups: Mapping[str, Sequence[Measurement]]) -> list[list[Cell]]:
    return [
        [
            Cell(one.image),
            Cell(label),
            Cell("-" if one.setting is None else f"{one.setting:g}", one.setting),
            Cell(f"{one.file_bits // 8:,}", one.file_bits),
            _number(one.file_bits / one.n_dims, 3),
            _number(one.psnr_db, 2),
            _number(as_decibels(one.ms_ssim), 2),
        ]
        for label, part in groups.items()
        for one in part
    ]


def _number(value: float | None, digits: int) -> Cell:
    if value is None:
        return Cell("-")
    if math.isinf(value):
        return Cell("exact", 1e9)
    return Cell(f"{value:.{digits}f}", value)


def _plot(curves: Sequence[Curve]) -> str:
    """PSNR and MS-SSIM over bits per pixel, as an SVG to stand in a page."""
    from matplotlib.figure import Figure

    measures = [measure for measure in AXES if any(c.points(measure) for c in curves)]
    drawing = Figure(figsize=(5.2 * len(measures), 3.8), layout="constrained")
    for index, measure in enumerate(measures):
        axes = drawing.add_subplot(1, len(measures), index + 1)
        for curve, colour in zip(curves, _COLOURS * len(curves), strict=False):
            if points := curve.points(measure):
                axes.plot(*zip(*points, strict=True), "o-", color=colour, label=curve.label, ms=3)
        axes.set(xlabel="bits per pixel", ylabel=AXES[measure])
        axes.grid(alpha=0.3)
        if index == 0:
            axes.legend(fontsize=8)
    buffer = io.StringIO()
    drawing.savefig(buffer, format="svg", metadata={"Date": None})
    svg = buffer.getvalue()
    return svg[svg.index("<svg") :]


def _shown(picture: Picture) -> dict[str, Any]:
    thumbnail = _as_image(picture.original)
    thumbnail.thumbnail((_THUMBNAIL_SIDE, _THUMBNAIL_SIDE))
    height, width = picture.original.shape[:2]
    return {
        "name": picture.name,
        "size": f"{width} x {height}",
        "thumbnail": _as_url(np.asarray(thumbnail), lossless=False),
        "original": _as_url(picture.original),
        "versions": [(label, _as_url(pixels)) for label, pixels in picture.versions.items()],
    }


def _as_url(pixels: np.ndarray, lossless: bool = True) -> str:
    """Return a data URL: a lossless WebP, so that the page shows what there is and nothing else."""
    buffer = io.BytesIO()
    _as_image(pixels).save(buffer, "WEBP", lossless=lossless, quality=80)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _as_image(pixels: np.ndarray) -> Image.Image:
    return as_pillow(np.ascontiguousarray(pixels)).convert("RGB")
