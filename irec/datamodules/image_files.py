"""Image files and arrays as training data, with errors that name the file."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from irec.errors import DataError
from irec.images import image_paths, read_image


def read_rgb(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    """Read a file for training: greyscale is repeated, alpha dropped."""
    pixels = read_image(path)
    colour = pixels[:, :, : 1 if pixels.shape[2] <= 2 else 3]
    return np.ascontiguousarray(np.broadcast_to(colour, (*colour.shape[:2], 3)))


def read_array(path: Path) -> UInt8[np.ndarray, "n h w 3"]:
    """Read a .npy file of images.

    Raises:
        DataError: absent, not a .npy file, or not uint8 of shape [n, h, w, 3].
    """
    try:
        array = np.load(path, allow_pickle=False)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except (ValueError, OSError, EOFError) as error:
        raise DataError(f"{path}: not a readable .npy array ({error})") from error
    if array.dtype != np.uint8 or array.ndim != 4 or array.shape[3] != 3:
        raise DataError(
            f"{path}: holds {array.dtype} of shape {array.shape}; "
            "an array of images must be uint8 [n, height, width, 3]"
        )
    return array


def read_sources(sources: Sequence[str | Path]) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """All images of folders, image files and .npy arrays, in order."""
    for source in map(Path, sources):
        if source.suffix == ".npy":
            yield from read_array(source)
        elif source.is_dir():
            yield from (read_rgb(path) for path in image_paths(source))
        else:
            yield read_rgb(source)
