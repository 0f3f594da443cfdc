"""One page that shows results: tables that sort, curves, pictures to lay over one another."""

import base64
import bisect
import functools
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from irec.evaluation.lossy_results import LossyResult, as_decibels, mean_of
from irec.evaluation.measurements import (
    Measurement,
    by_codec,
    by_setting,
    curve_of,
    is_lossless,
    mean_bpd,
)
from irec.evaluation.plot_style import BLUE, GREEN, GREY, VERMILION
from irec.evaluation.plots import AXES
from irec.evaluation.rate_distortion import Curve
from irec.evaluation.results import Row, shown, totals
from irec.images import as_pillow

_TEMPLATE = Path(__file__).parent / "report.html.j2"
_THUMBNAIL_SIDE = 160
_COLOURS = (BLUE, VERMILION, GREEN, GREY, "#CC79A7", "#E69F00", "#56B4E9", "#000000")

# What a cell of a table holds; the page has the forms that figures are written in.
Figure = str | float | int | None


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
    environment.filters["written"] = _written
    groups = by_codec(measurements)
    curves = [curve_of(label, part) for label, part in groups.items() if not is_lossless(part)]
    return environment.from_string(_TEMPLATE.read_text()).render(
        title=title,
        n_images=len({one.image for one in measurements}),
        codecs=_codecs(groups),
        overheads=_overheads(rows),
        files=_files(groups),
        plot=_plot(curves) if curves else "",
        pictures=[_in_page(picture) for picture in pictures],
    )


def same_size(
    pixels: UInt8[np.ndarray, "h w c"], n_bytes: int
) -> dict[str, UInt8[np.ndarray, "h w c"]]:
    """Return an image as WebP and JPEG of at most so many bytes, if they get that small."""
    versions = {}
    strongest: dict[str, dict[str, Any]] = {"WebP": {"method": 6}, "JPEG": {"optimize": True}}
    for name, options in strongest.items():
        of_quality = functools.cache(functools.partial(_encoded, pixels, name, **options))
        n_fitting = bisect.bisect_right(range(101), n_bytes, key=lambda q: len(of_quality(q)))
        if n_fitting > 0:
            data = of_quality(n_fitting - 1)
            with Image.open(io.BytesIO(data)) as image:
                label = f"{name} of the same size ({len(data):,} bytes)"
                versions[label] = np.asarray(image.convert("RGB"))
    return versions


def _encoded(pixels: np.ndarray, file_format: str, quality: int, **options: Any) -> bytes:
    buffer = io.BytesIO()
    _as_image(pixels).save(buffer, file_format, quality=quality, **options)
    return buffer.getvalue()


def _codecs(groups: Mapping[str, Sequence[Measurement]]) -> list[list[Figure]]:
    return [
        [
            label,
            here[0].setting,
            mean_bpd(here),
            mean_of(here, "bpp"),
            mean_of(here, "psnr_db"),
            as_decibels(mean_of(here, "ms_ssim")),
            mean_of(here, "encode_s"),
            mean_of(here, "decode_s"),
        ]
        for label, part in groups.items()
        for here in by_setting(part)
    ]


def _overheads(rows: Mapping[str, Sequence[Row]]) -> list[list[Figure]]:
    return [
        [
            label,
            row.name,
            row.quality if isinstance(row, LossyResult) else None,
            row.ideal_bits / 8,
            row.file_bits // 8,
            totals([row])["overhead"],
        ]
        for label, part in rows.items()
        for row in part
    ]


def _files(groups: Mapping[str, Sequence[Measurement]]) -> list[list[Figure]]:
    return [
        [
            one.image,
            label,
            one.setting,
            one.file_bits // 8,
            mean_bpd([one]),
            one.psnr_db,
            as_decibels(one.ms_ssim),
        ]
        for label, part in groups.items()
        for one in part
    ]


def _written(figure: Figure, form: str) -> str:
    return "exact" if figure == math.inf else shown(figure, form)


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


def _in_page(picture: Picture) -> dict[str, Any]:
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
    data = _encoded(pixels, "WebP", 80, lossless=lossless)
    return f"data:image/webp;base64,{base64.b64encode(data).decode()}"


def _as_image(pixels: np.ndarray) -> Image.Image:
    return as_pillow(np.ascontiguousarray(pixels)).convert("RGB")
