"""Image files and arrays as training data, with errors that name the file."""

from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from irec.errors import DataError, IrecError
from irec.images import as_array, image_paths, read_image, without_alpha


def read_rgb(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    """Read a file for training, as :func:`as_rgb` has it."""
    return as_rgb(read_image(path))


def read_png(data: bytes, name: str) -> UInt8[np.ndarray, "h w c"]:
    """Read a PNG as it is: grey, grey and alpha, RGB or RGBA.

    Args:
        data: The file.
        name: What error messages call it.

    Raises:
        DataError: It is damaged.
        UnsupportedImageError: More than 8 bits per channel.
    """
    try:
        with Image.open(BytesIO(data), formats=["PNG"]) as image:
            return as_array(image, name)
    except IrecError:
        raise
    # Pillow meets damage with whatever its parsing runs into.
    except Exception as error:
        raise DataError(f"{name}: not a readable PNG ({error})") from error


def as_rgb(pixels: UInt8[np.ndarray, "h w c"]) -> UInt8[np.ndarray, "h w 3"]:
    """Repeat greyscale, drop alpha."""
    colour = without_alpha(pixels)
    return np.ascontiguousarray(np.broadcast_to(colour, (*colour.shape[:2], 3)))


def read_array(path: Path) -> UInt8[np.ndarray, "n h w 3"]:
    """Map a .npy file of images into memory, read-only: what is not used takes no room.

    Raises:
        DataError: Absent, not a .npy file, or not uint8 of shape [n, h, w, 3].
    """
    try:
        array = np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    # NumPy meets a damaged header with whatever parsing it as Python runs into.
    except Exception as error:
        raise DataError(f"{path}: not a readable .npy array ({error})") from error
    if array.dtype != np.uint8 or array.ndim != 4 or array.shape[3] != 3:
        raise DataError(
            f"{path}: holds {array.dtype} of shape {array.shape}; "
            "an array of images must be uint8 [n, height, width, 3]"
        )
    return array


def read_sources(sources: Sequence[str | Path]) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """All images of folders, image files and .npy arrays, in order."""
    for source in sources:
        for _, image in list_images(source):
            yield read_rgb(image) if isinstance(image, Path) else image


def list_images(source: str | Path) -> list[tuple[str, Path | UInt8[np.ndarray, "_h _w 3"]]]:
    """Names and places of the images of one source; arrays' images are called by their index."""
    path = Path(source)
    if path.suffix == ".npy":
        return [(f"{path.stem}_{i:05d}", image) for i, image in enumerate(read_array(path))]
    if path.is_dir():
        return [(str(p.relative_to(path)), p) for p in image_paths(path)]
    return [(path.name, path)]
