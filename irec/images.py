"""Images as uint8 arrays: files, what Python callers hold, and how far two images differ.

Pixels are turned as a camera's EXIF note says, in files and in Pillow images alike, since without
the note the picture would come back lying on its side. What would change them otherwise is refused
(:mod:`irec.image_kinds`).

A leaf, as ``irec.errors`` is: every layer may import it.
"""

import contextlib
import io
import math
import sys
import warnings
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

from irec.errors import DataError, IrecError, UnsupportedImageError
from irec.folders import search
from irec.image_kinds import converted, obstacles, plain_pixels, transparent_colour, upright
from irec.metadata import Metadata, metadata_of, pillow_options

if TYPE_CHECKING:
    from torch import Tensor

JPEG_SUFFIXES = {".jpg", ".jpeg", ".jpe", ".jfif"}
IMAGE_SUFFIXES = JPEG_SUFFIXES | {
    *(".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"),
    *(".ppm", ".pgm", ".pbm", ".pnm"),
}

# What Pillow may take a file for. Others are left out because it reduces them to 8 bits without a
# word (AVIF, JPEG 2000) or because nobody keeps photographs in them.
_FORMATS = ("PNG", "WEBP", "BMP", "TIFF", "JPEG", "PPM", "GIF")
# What is wrong with a file, by the error on opening it.
_REASONS = {
    FileNotFoundError: "no such file",
    IsADirectoryError: "a folder, not an image",
    PermissionError: "permission denied",
    UnidentifiedImageError: f"not an image that irec reads ({', '.join(_FORMATS)})",
}

# Suffix -> Pillow's format, the channel counts that it keeps as they are, and its settings.
# WebP otherwise forgets the colour of transparent pixels ("exact"), compressed TIFF the EXIF data.
# JPEG is as good as it gets.
_WRITERS: dict[str, tuple[str, Collection[int], dict[str, Any]]] = {
    ".png": ("PNG", (1, 2, 3, 4), {}),
    ".webp": ("WEBP", (3, 4), {"lossless": True, "exact": True}),
    ".ppm": ("PPM", (3,), {}),
    ".pgm": ("PPM", (1,), {}),
    **dict.fromkeys((".tif", ".tiff"), ("TIFF", (1, 2, 3, 4), {})),
    **dict.fromkeys((".jpg", ".jpeg"), ("JPEG", (1, 3), {"quality": 95, "subsampling": 0})),
}
OUTPUT_SUFFIXES = frozenset(_WRITERS)
METADATA_SUFFIXES = OUTPUT_SUFFIXES - {".ppm", ".pgm"}
MAX_SIDE = 1 << 16
# About as many as Pillow takes without a warning.
DEFAULT_MAX_PIXELS = 100_000_000
_KINDS = {1: "greyscale", 2: "greyscale with alpha", 3: "RGB", 4: "RGB with alpha"}


def without_image_suffix(name: str | Path) -> Path:
    """Return photo for photo.png, and photo.v2 as it is."""
    path = Path(name)
    return path.with_suffix("") if path.suffix.lower() in IMAGE_SUFFIXES else path


def image_paths(folder: Path) -> list[Path]:
    """All image files below `folder`, sorted, hidden ones left out.

    Raises:
        DataError: No such folder, no image in it, or something below cannot be read.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    found = search(folder, IMAGE_SUFFIXES)
    if found.problems:
        raise DataError(found.problems[0])
    if not found.paths:
        raise DataError(f"{folder}: no {', '.join(sorted(IMAGE_SUFFIXES))} file in it")
    return found.paths


@dataclass(frozen=True)
class Picture:
    """An image file's contents.

    Attributes:
        pixels: uint8 [h, w, c]: grey (c = 1), grey and alpha (2), RGB (3) or RGBA (4).
        metadata: Colour profile, EXIF and XMP.
        lost: What converting did to the pixels, in clauses; empty where they are as in the file.
    """

    pixels: UInt8[np.ndarray, "h w c"]
    metadata: Metadata
    lost: tuple[str, ...] = ()


def read_image(path: Path) -> UInt8[np.ndarray, "h w c"]:
    """Read the pixels of a file as they are; see :func:`read_picture`."""
    return read_picture(path).pixels


def read_picture(
    source: Path | bytes,
    *,
    convert: bool = False,
    max_pixels: int | None = None,
    multiple: int = 1,
) -> Picture:
    """Read a file as it is: grey (c = 1), grey and alpha (2), RGB (3) or RGBA (4).

    Palette and bilevel images are expanded, which loses nothing; of a camera's multi-picture JPEG
    the main picture is read.

    Args:
        source: The file, or its bytes.
        convert: Take 16-bit, CMYK and other images too, reduced to 8 bits and to RGB.
        max_pixels: Refuse larger images before their pixels are read.
        multiple: For the limit sides count as rounded up to one of it; see :func:`check_size`.

    Raises:
        DataError: The file is absent or not a readable image.
        UnsupportedImageError: Too many pixels; more than 8 bits per channel, CMYK, several frames
            and what else would be changed.
    """
    name = "the image" if isinstance(source, bytes) else str(source)
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    with _errors_of(name), warnings.catch_warnings(), _at_most(max_pixels):
        # Of large photographs and damaged metadata; what matters is an error besides.
        warnings.simplefilter("ignore")
        with Image.open(file, formats=_FORMATS) as image:
            check_size(image.width, image.height, max_pixels, name, multiple)
            return _picture(image, name, convert)


@contextlib.contextmanager
def _errors_of(name: str) -> Iterator[None]:
    """Say what is wrong with a file, whatever Pillow says."""
    try:
        yield
    except (IrecError, MemoryError):
        raise
    except tuple(_REASONS) as error:
        reason = next(text for kind, text in _REASONS.items() if isinstance(error, kind))
        raise DataError(f"{name}: {reason}") from error
    except Image.DecompressionBombError as error:
        raise UnsupportedImageError(f"{name}: too large ({error})") from error
    except Exception as error:
        # Pillow's plugins meet damage with whatever their parsing runs into.
        raise DataError(f"{name}: damaged or unreadable ({error})") from error


@contextlib.contextmanager
def _at_most(max_pixels: int | None) -> Iterator[None]:
    """Let Pillow open what the caller's limit allows, where that is beyond Pillow's own."""
    before = Image.MAX_IMAGE_PIXELS
    try:
        if max_pixels is not None and before is not None:
            Image.MAX_IMAGE_PIXELS = max(before, max_pixels)
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def check_size(
    width: int, height: int, max_pixels: int | None, name: str, multiple: int = 1
) -> None:
    """Refuse an image that has more pixels, or longer sides, than fit.

    Args:
        width: Of the image.
        height: Of the image.
        max_pixels: The limit; None for none.
        name: Of the image, for errors.
        multiple: Of which sides are once the image is padded for the model. Time and memory grow
            with the padded image, so that the limit is on that.

    Raises:
        UnsupportedImageError: It is too large.
    """
    if max(width, height) > MAX_SIDE:
        raise UnsupportedImageError(
            f"{name}: {width}x{height} pixels; sides of up to {MAX_SIDE:,} fit into a file"
        )
    padded_width, padded_height = (-(-side // multiple) * multiple for side in (width, height))
    n_pixels = padded_width * padded_height
    if max_pixels is not None and n_pixels > max_pixels:
        padded = ""
        if n_pixels > width * height:
            padded = f", {n_pixels:,} once padded to {padded_width}x{padded_height} for the model,"
        raise UnsupportedImageError(
            f"{name}: {width}x{height} pixels{padded} are more than the limit of {max_pixels:,}; "
            "raise it (max_pixels, --max-pixels)"
        )


def as_array(image: Image.Image, name: str) -> UInt8[np.ndarray, "h w c"]:
    """Turn a Pillow image into an array without changing any pixel's colour.

    Args:
        image: Of any mode with 8 bits per channel or fewer.
        name: What error messages call it.

    Raises:
        UnsupportedImageError: More than 8 bits per channel, CMYK, several frames, no pixels.
        DataError: Its file is damaged.
    """
    # Images are read when their pixels are asked for.
    with _errors_of(name):
        return _picture(image, name, convert=False).pixels


def _picture(image: Image.Image, name: str, convert: bool) -> Picture:
    found = list(obstacles(image))
    for obstacle in found:
        if not (convert and obstacle.way_out):
            hint = f" (irec compress --convert {obstacle.way_out})" if obstacle.way_out else ""
            raise UnsupportedImageError(
                f"{name}: {obstacle.reason}; convert it to 8-bit RGB, RGBA or greyscale first{hint}"
            )
    key = transparent_colour(image)
    opened, image = image, upright(image)
    metadata = metadata_of(image, opened)
    if found:
        image = converted(image)
        if any(obstacle.is_of_colour for obstacle in found):
            metadata = replace(metadata, icc=None)
    lost = tuple(f"{obstacle.reason}: {obstacle.way_out}" for obstacle in found)
    return Picture(_checked(plain_pixels(image, key), name), metadata, lost)


def from_any(image: "np.ndarray | Image.Image | Tensor") -> UInt8[np.ndarray, "h w c"]:
    """Take an image in whichever form a caller holds it.

    Args:
        image: A Pillow image; a uint8 array [h, w] or [h, w, c]; or a uint8 tensor [h, w] or
            [c, h, w] on any device. Channels: grey, grey and alpha, RGB, RGBA.

    Returns:
        uint8 [h, w, c], c of 1 to 4.

    Raises:
        UnsupportedImageError: Anything else.
    """
    if isinstance(image, Image.Image):
        return as_array(image, name="the image")
    if isinstance(image, np.ndarray):
        return _checked(image, "the array")
    # Whoever holds a tensor has imported torch; nobody else should wait for it.
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(image, torch.Tensor):
        if image.dtype != torch.uint8:
            raise UnsupportedImageError(f"the tensor: {image.dtype}, but images are torch.uint8")
        array = image.detach().cpu().numpy()
        return _checked(array.transpose(1, 2, 0) if array.ndim == 3 else array, "the tensor")
    raise UnsupportedImageError(
        f"{type(image).__name__}: an image is a Pillow image, a NumPy array or a tensor"
    )


def encode_image(
    pixels: UInt8[np.ndarray, "h w c"], suffix: str = ".png", metadata: Metadata | None = None
) -> bytes:
    """Return the bytes of an image file, without loss but for JPEG.

    Args:
        pixels: uint8 [h, w, c], c of 1 to 4.
        suffix: ".png" and ".tif" take every image; ".webp" colour; ".ppm" RGB; ".pgm" greyscale;
            ".jpg", which changes colours a little, RGB and greyscale.
        metadata: Colour profile, EXIF and XMP, which all take but ".ppm" and ".pgm".

    Raises:
        UnsupportedImageError: A suffix of an unknown format, or of one without such channels.
    """
    if suffix.lower() not in OUTPUT_SUFFIXES:
        raise UnsupportedImageError(
            f"{suffix or 'a name without a suffix'}: images are written as one of "
            f"{', '.join(sorted(OUTPUT_SUFFIXES))}"
        )
    file_format, channel_counts, settings = _WRITERS[suffix.lower()]
    pixels = _checked(pixels, "the array")
    channels = pixels.shape[2]
    if channels not in channel_counts:
        raise UnsupportedImageError(f"{suffix} files do not hold {_KINDS[channels]}; choose .png")
    buffer = io.BytesIO()
    try:
        as_pillow(pixels).save(
            buffer, file_format, **settings, **pillow_options(metadata or Metadata(), file_format)
        )
    except (OSError, ValueError) as error:
        height, width = pixels.shape[:2]
        raise UnsupportedImageError(
            f"{width}x{height} pixels do not fit into a {suffix} file; choose .png"
        ) from error
    return buffer.getvalue()


def psnr_db(a: UInt8[np.ndarray, "h w c"], b: UInt8[np.ndarray, "h w c"]) -> float:
    """Peak signal-to-noise ratio in dB, the squared error averaged over pixels and channels.

    Args:
        a: uint8 [h, w, c], any number of channels.
        b: The other image; the order does not matter.

    Returns:
        10 log10(255^2 / MSE); infinity for equal images.
    """
    squared_error = float(np.square(np.subtract(a, b, dtype=np.float64)).mean())
    return 10.0 * math.log10(255.0**2 / squared_error) if squared_error else math.inf


def as_pillow(pixels: UInt8[np.ndarray, "h w c"]) -> Image.Image:
    """Return a Pillow image, which has one grey channel without its axis only."""
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


def without_alpha(pixels: UInt8[np.ndarray, "h w _c"]) -> UInt8[np.ndarray, "h w c"]:
    """Return the colours of an image: c is 1 or 3."""
    return pixels[:, :, : 1 if pixels.shape[2] <= 2 else 3]


def _checked(pixels: np.ndarray, name: str) -> UInt8[np.ndarray, "h w c"]:
    if pixels.dtype != np.uint8:
        raise UnsupportedImageError(f"{name}: {pixels.dtype}, but images are uint8")
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    if pixels.ndim != 3 or pixels.shape[2] not in _KINDS:
        raise UnsupportedImageError(
            f"{name}: shape {list(pixels.shape)}; an image is [height, width] or "
            "[height, width, 1 to 4 channels], a tensor [channels, height, width]"
        )
    if pixels.size == 0:
        raise UnsupportedImageError(f"{name}: no pixels (shape {list(pixels.shape)})")
    return np.ascontiguousarray(pixels)
