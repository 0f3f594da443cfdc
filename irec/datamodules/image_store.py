"""Decoded images of any sizes in one file, mapped from disk: gigabytes of them cost no memory.

A store is a folder with ``pixels.bin``, all pixels one image after the other, and ``images.json``,
their names and sizes. One file rather than one per image, because each mapped file stays open.
"""

import json
import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from irec.errors import DataError
from irec.files import unfinished
from irec.terminal import count_bar

_PIXELS = "pixels.bin"
_INDEX = "images.json"


def write_store(
    folder: Path, n_images: int, images: Iterable[tuple[str, UInt8[np.ndarray, "_h _w 3"]]]
) -> None:
    """Write a store, completely or not at all.

    Args:
        folder: Gets its name when all images are in it.
        n_images: How many there have to be.
        images: Names and pixels.

    Raises:
        DataError: There are more or fewer images.
        OutputFileError: The disk is full.
    """
    index = []
    with unfinished(folder, is_only_writer=True) as part:
        part.mkdir()
        with (part / _PIXELS).open("wb") as out, count_bar() as bar:
            task = bar.add_task(f"writing {folder.name}", total=n_images)
            for name, pixels in images:
                out.write(np.ascontiguousarray(pixels).data)
                index.append({"name": name, "shape": pixels.shape})
                bar.advance(task)
        if len(index) != n_images:
            raise DataError(f"{folder}: {len(index)} images are there, expected {n_images}")
        (part / _INDEX).write_text(json.dumps(index))


def map_store(folder: Path) -> list[tuple[str, UInt8[np.ndarray, "_h _w 3"]]]:
    """Names and pixels of a store's images, mapped into memory, read-only.

    Raises:
        DataError: Absent or damaged.
    """
    try:
        index = json.loads((folder / _INDEX).read_text())
        pixels = np.asarray(np.memmap(folder / _PIXELS, np.uint8, "r"))
        ends = np.cumsum([math.prod(item["shape"]) for item in index])
        if ends[-1] != len(pixels):
            raise ValueError(f"{len(pixels)} bytes of pixels, expected {ends[-1]}")
        parts = np.split(pixels, ends[:-1])
        return [
            (item["name"], part.reshape(item["shape"]))
            for item, part in zip(index, parts, strict=True)
        ]
    except FileNotFoundError as error:
        raise DataError(f"{folder}: no images there") from error
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DataError(f"{folder}: damaged ({error}); delete it, it is made anew") from error
