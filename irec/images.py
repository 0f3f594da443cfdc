"""Images as uint8 arrays: reading and writing files, and taking what Python callers hold.

Pixels are what counts: colour profiles, dates and other metadata are not kept. The one exception
is the orientation that cameras note in EXIF: a file's pixels are turned accordingly, since without
the note the picture would come back lying on its side.

A leaf, as ``irec.errors`` is: every layer may import it.
"""

import io
import sys
import warnings
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from irec.errors import DataError, IrecError, UnsupportedImageError

if TYPE_CHECKING:
    from torch import Tensor

IMAGE_SUFFIXES = {".png", ".webp", ".bmp", ".tif", ".tiff", ".jpg", ".jpeg", ".ppm", ".pgm"}

# What Pillow may take a file for. Others are left out because it reduces them to 8 bits without a
# word (AVIF, JPEG 2000) or because nobody keeps photographs in them.
_FORMATS = ("PNG", "WEBP", "BMP", "TIFF", "JPEG", "PPM", "GIF")

# Pillow's modes that hold 8 bits per channel without a palette or a colour space of print.
_DIRECT_MODES = {"RGB", "RGBA", "L", "LA"}

# Suffix -> Pillow's format, the channel counts that it keeps as they are, and its settings.
# WebP otherwise forgets the colour of transparent pixels ("exact").
_WRITERS: dict[str, tuple[str, Collection[int], dict[str, Any]]] = {
    ".png": ("PNG", (1, 2, 3, 4), {}),
    ".webp": ("WEBP", (3, 4), {"lossless": True, "exact": True}),
    ".ppm": ("PPM", (3,), {}),
    ".pgm": ("PPM", (1,), {}),
}
OUTPUT_SUFFIXES = frozenset(_WRITERS)
_KINDS = {1: "greyscale", 2: "greyscale with alpha", 3: "RGB", 4: "RGB with alpha"}


def paths_below(folder: Path, suffixes: Collection[str]) -> list[Path]:
    """All files below `folder` with one of `suffixes` (lower case), sorted, hidden ones left out.

    Raises:
        DataError: no such folder, or no such file in it.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    paths = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in suffixes
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    )
    if not paths:
        raise DataError(f"{folder}: no {', '.join(sorted(suffixes))} file in it")
    return paths


def image_paths(folder: Path) -> list[Path]:
    """All image files below `folder`, sorted, hidden ones left out.

    Raises:
        DataError: no such folder, or no image in it.
    """
    return paths_below(folder, IMAGE_SUFFIXES)


def read_image(path: Path) -> UInt8[np.ndarray, "h w c"]:
    """Read a file as it is: grey (c = 1), grey and alpha (2), RGB (3) or RGBA (4).

    Palette and bilevel images are expanded, which loses nothing; of a camera's multi-picture JPEG
    the main picture is read.

    Raises:
        DataError: the file is absent or not a readable image.
        UnsupportedImageError: more than 8 bits per channel, CMYK, several frames.
    """
    try:
        with warnings.catch_warnings():
            # Of large photographs and damaged metadata; what matters is an error besides.
            warnings.simplefilter("ignore")
            with Image.open(path, formats=_FORMATS) as image:
                # The check comes before the rotation, which loads the pixels.
                _check_kind(image, str(path))
                return as_array(ImageOps.exif_transpose(image), name=str(path))
    except IrecError:
        raise
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except IsADirectoryError as error:
        raise DataError(f"{path}: a folder, not an image") from error
    except PermissionError as error:
        raise DataError(f"{path}: permission denied") from error
    except UnidentifiedImageError as error:
        kinds = ", ".join(_FORMATS)
        raise DataError(f"{path}: not an image that irec reads ({kinds})") from error
    except Image.DecompressionBombError as error:
        raise UnsupportedImageError(f"{path}: too large ({error})") from error
    except Exception as error:
        # Pillow's plugins meet damage with whatever their parsing runs into.
        raise DataError(f"{path}: damaged or unreadable ({error})") from error


def as_array(image: Image.Image, name: str) -> UInt8[np.ndarray, "h w c"]:
    """Turn a Pillow image into an array without changing any pixel's colour.

    Args:
        image: of any mode with 8 bits per channel or fewer.
        name: what error messages call it.

    Raises:
        UnsupportedImageError: more than 8 bits per channel, CMYK, several frames, no pixels.
    """
    _check_kind(image, name)
    if image.mode == "1":
        image = image.convert("LA" if "transparency" in image.info else "L")
    elif image.mode in ("P", "PA"):
        is_opaque = image.mode == "P" and "transparency" not in image.info
        image = image.convert("RGB" if is_opaque else "RGBA")
    elif image.mode in ("RGB", "L") and "transparency" in image.info:
        image = image.convert("RGBA" if image.mode == "RGB" else "LA")
    if image.mode not in _DIRECT_MODES:
        raise UnsupportedImageError(
            f"{name}: mode {image.mode}; convert it to 8-bit RGB, RGBA or greyscale first"
        )
    return _checked(np.array(image), name)


def from_any(image: "np.ndarray | Image.Image | Tensor") -> UInt8[np.ndarray, "h w c"]:
    """Take an image in whichever form a caller holds it.

    Args:
        image: a Pillow image; a uint8 array [h, w] or [h, w, c]; or a uint8 tensor [h, w] or
            [c, h, w] on any device. Channels: grey, grey and alpha, RGB, RGBA.

    Returns:
        uint8 [h, w, c], c of 1 to 4.

    Raises:
        UnsupportedImageError: anything else.
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


def encode_image(pixels: UInt8[np.ndarray, "h w c"], suffix: str = ".png") -> bytes:
    """The bytes of a lossless image file.

    Args:
        pixels: uint8 [h, w, c], c of 1 to 4.
        suffix: ".png" takes every image; ".webp" colour; ".ppm" RGB; ".pgm" greyscale.

    Raises:
        UnsupportedImageError: a suffix of a lossy or unknown format, or one that would change
            the pixels of this image.
    """
    check_output_suffix(suffix)
    file_format, channel_counts, settings = _WRITERS[suffix.lower()]
    pixels = _checked(pixels, "the array")
    channels = pixels.shape[2]
    if channels not in channel_counts:
        raise UnsupportedImageError(f"{suffix} files do not hold {_KINDS[channels]}; choose .png")
    buffer = io.BytesIO()
    try:
        # Pillow takes one grey channel without its axis only.
        Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels).save(
            buffer, file_format, **settings
        )
    except (OSError, ValueError) as error:
        height, width = pixels.shape[:2]
        raise UnsupportedImageError(
            f"{width}x{height} pixels do not fit into a {suffix} file; choose .png"
        ) from error
    return buffer.getvalue()


def check_output_suffix(suffix: str) -> None:
    """Raise an UnsupportedImageError unless :func:`encode_image` knows `suffix`."""
    if suffix.lower() not in OUTPUT_SUFFIXES:
        raise UnsupportedImageError(
            f"{suffix or 'a name without a suffix'}: pixels are written without loss, as one of "
            f"{', '.join(sorted(OUTPUT_SUFFIXES))}"
        )


def _check_kind(image: Image.Image, name: str) -> None:
    """Refuse what reading the pixels would silently reduce: further frames, deeper channels."""
    # Cameras keep previews and gain maps as further "frames" of a multi-picture JPEG.
    if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
        raise UnsupportedImageError(f"{name}: holds several frames; irec codes single images")
    if any(_is_deep(tile) for tile in getattr(image, "tile", ())):
        raise UnsupportedImageError(
            f"{name}: more than 8 bits per channel; convert it to 8 bits first"
        )


def _is_deep(tile: Any) -> bool:
    """Whether a part of a file not yet loaded has a 16-bit layout, or a PPM's maximum above 255."""
    arguments = tile.args if isinstance(tile.args, tuple) else (tile.args,)
    if tile.codec_name.startswith("ppm"):
        return bool(arguments[1] > 255)
    return str(arguments[0]).endswith((";16B", ";16L", ";16N"))


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
