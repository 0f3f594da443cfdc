"""What Pillow would change without a word: found before the pixels are read.

Pillow opens more kinds of images than it keeps apart: it drops samples that it does not know, reads
the first of several images, and rounds deeper channels. Each such thing is an :class:`Obstacle`.
A leaf, as ``irec.errors`` is.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import BmpImagePlugin, Image, ImageOps, PngImagePlugin, PpmImagePlugin, TiffImagePlugin

# Pillow's modes that hold 8 bits per channel without a palette or a colour space of print.
_DIRECT_MODES = {"RGB", "RGBA", "L", "LA"}
_EXPANDED_MODES = {"1", "P", "PA"}
_DEEP_GREY = {"I;16", "I;16B", "I;16L", "I;16N"}
_TO_RGB = {"CMYK": "RGB", "YCbCr": "RGB", "LAB": "RGB", "HSV": "RGB", "RGBX": "RGB"} | {
    "RGBa": "RGBA",
    "La": "LA",
}

# Tags of TIFF 6.0.
_PLANES, _EXTRA_SAMPLES, _SAMPLE_FORMAT, _COLOUR_MAP = 284, 338, 339, 320
_SEPARATE = 2
_PLAIN_ALPHA, _PREMULTIPLIED = 2, 1


@dataclass(frozen=True)
class Obstacle:
    """Why an image cannot be taken as it is.

    Attributes:
        reason: A clause, such as "holds 3 frames".
        way_out: What converting does about it, in the present; empty where nothing can be done.
        is_of_colour: Whether the colours then mean something else, so that no profile fits them.
    """

    reason: str
    way_out: str = ""
    is_of_colour: bool = False


def obstacles(image: Image.Image) -> Iterator[Obstacle]:
    """All that reading the pixels of an image would change; best asked before they are loaded."""
    # Cameras keep previews and gain maps as further "frames" of a multi-picture JPEG.
    n_frames = getattr(image, "n_frames", 1)
    if n_frames > 1 and image.format != "MPO":
        yield Obstacle(f"holds several frames ({n_frames})", "takes the first frame")
    is_deep = image.mode in _DEEP_GREY or any(map(_is_deep, getattr(image, "tile", ())))
    if is_deep:
        yield Obstacle("more than 8 bits per channel", "keeps the upper 8 bits of each")
    elif image.mode in _TO_RGB:
        yield Obstacle(f"mode {image.mode}", f"turns it into {_TO_RGB[image.mode]}", True)
    elif image.mode not in _DIRECT_MODES | _EXPANDED_MODES:
        yield Obstacle(f"mode {image.mode}")
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        yield from _of_tiff(image)
    elif isinstance(image, PpmImagePlugin.PpmImageFile) and image.tile:
        yield from _of_ppm(image)
    elif isinstance(image, BmpImagePlugin.BmpImageFile) and image.tile:
        yield from _of_bmp(image)
    elif isinstance(image, PngImagePlugin.PngImageFile):
        yield from _of_png(image)


def converted(image: Image.Image) -> Image.Image:
    """Take the ways out of all of an image's obstacles."""
    if getattr(image, "n_frames", 1) > 1:
        image.seek(0)
    if image.mode in _DEEP_GREY:
        return Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))
    return image.convert(_TO_RGB[image.mode]) if image.mode in _TO_RGB else image


def upright(image: Image.Image) -> Image.Image:
    """Load an image, turned as its EXIF data say: without them it would come back on its side."""
    image.load()
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # damaged metadata say nothing
        return image


def transparent_colour(image: Image.Image) -> tuple[int, ...] | None:
    """Return the one colour without alpha that a file names, in 8 bits; ask before it is loaded."""
    key = image.info.get("transparency")
    if key is None or image.mode not in ("1", "L", "RGB"):
        return None
    key = key if isinstance(key, tuple) else (key,)
    if isinstance(image, PngImagePlugin.PngImageFile):
        # PNG writes it in the file's own depth, in the lower bits of 16.
        depth = _arguments(image.tile[0])[0] if image.tile else ""
        factor = {"L;2": 85, "L;4": 17}.get(depth, 1)
        key = tuple((value * factor) & 255 for value in key)
    return key


def plain_pixels(image: Image.Image, key: tuple[int, ...] | None) -> np.ndarray:
    """Replace palettes, single bits and a transparent colour by 8-bit channels; nothing is lost.

    Args:
        image: Loaded, of a mode without obstacle.
        key: Its transparent colour.

    Returns:
        uint8 [h, w] or [h, w, c].
    """
    if image.mode in ("P", "PA"):
        has_alpha = image.mode == "PA" or "transparency" in image.info
        has_alpha |= image.palette is not None and image.palette.mode == "RGBA"
        return np.array(image.convert("RGBA" if has_alpha else "RGB"))
    pixels = np.array(image.convert("L") if image.mode == "1" else image)
    if key is None:
        return pixels
    colours = pixels[:, :, None] if pixels.ndim == 2 else pixels
    alpha = np.where((colours == np.array(key)).all(axis=2, keepdims=True), 0, 255)
    return np.concatenate([colours, alpha.astype(np.uint8)], axis=2)


def _is_deep(tile: Any) -> bool:
    """Whether a part of a file not yet loaded has a 16-bit layout, or a PPM's maximum above 255."""
    arguments = _arguments(tile)
    if tile.codec_name.startswith("ppm"):
        return bool(arguments[1] > 255)
    return str(arguments[0]).endswith((";16B", ";16L", ";16N"))


def _arguments(tile: Any) -> tuple[Any, ...]:
    return tile.args if isinstance(tile.args, tuple) else (tile.args,)


def _of_tiff(image: TiffImagePlugin.TiffImageFile) -> Iterator[Obstacle]:
    formats = image.tag_v2.get(_SAMPLE_FORMAT, (1,))
    if any(kind != 1 for kind in np.ravel(formats)):
        yield Obstacle("its samples are signed or fractions")
    extra = tuple(np.ravel(image.tag_v2.get(_EXTRA_SAMPLES, ())))
    if extra and extra != (_PLAIN_ALPHA,):
        if extra == (_PREMULTIPLIED,):
            yield Obstacle("its colours are multiplied by alpha", "divides them by it, rounded")
        else:
            yield Obstacle("holds samples beside its colours", "leaves them out")
    if image.tag_v2.get(_PLANES) == _SEPARATE and image.mode in ("LA", "PA"):
        # Pillow gives zeros for alpha.
        yield Obstacle("keeps grey and alpha in separate planes")
    colour_map = np.ravel(image.tag_v2.get(_COLOUR_MAP, ())).astype(np.int64)
    if image.mode in ("P", "PA") and not np.isin(colour_map % 256, (0, 255)).all():
        low, high = colour_map % 256, colour_map // 256
        if not ((low == high) | (low == 0)).all():
            yield Obstacle("its palette has 16 bits per channel", "keeps the upper 8 bits of each")


def _of_ppm(image: PpmImagePlugin.PpmImageFile) -> Iterator[Obstacle]:
    tile, file = image.tile[0], image.fp
    assert file is not None, "a tile is yet to be read"
    file.seek(tile.offset)
    if tile.codec_name == "ppm_plain":
        has_more = re.search(rb"\sP[1-6]\s", file.read()) is not None
    else:
        n_bits = 1 if image.mode == "1" else 8 * len(image.getbands())
        n_bytes = image.height * -(-image.width * n_bits // 8)
        file.seek(tile.offset + n_bytes)
        has_more = bool(file.read(16).strip())
    if has_more and not _is_deep(tile):
        yield Obstacle("holds several images", "takes the first image")


def _of_bmp(image: BmpImagePlugin.BmpImageFile) -> Iterator[Obstacle]:
    """Files without masks do not say what their fourth byte is; some programs keep alpha there."""
    if _arguments(image.tile[0])[0] != "BGRX":
        return
    file = image.fp
    assert file is not None, "a tile is yet to be read"
    file.seek(image.tile[0].offset)
    fourth = np.frombuffer(file.read(4 * image.width * image.height), np.uint8)[3::4]
    if fourth.size and not (fourth[0] in (0, 255) and (fourth == fourth[0]).all()):
        yield Obstacle("may hold alpha that the file does not declare", "leaves it out")


def _of_png(image: PngImagePlugin.PngImageFile) -> Iterator[Obstacle]:
    """Once loaded, nobody knows which bit depth the transparent grey value was given in."""
    key = image.info.get("transparency")
    if image.mode != "L" or image.tile or not isinstance(key, int) or not 0 < key < 16:
        return
    if not (np.asarray(image) % 17).any():
        yield Obstacle("its transparent grey value is ambiguous once it is loaded; read the file")
