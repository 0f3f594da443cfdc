"""Decoded images in one file, to be mapped from disk: gigabytes of them cost no memory.

Images of one size are a .npy array. Those of any sizes are a store: a folder with ``pixels.bin``,
all pixels one image after the other, and ``images.json``, their names and sizes. One file rather
than one per image, because each mapped file stays open.
"""

import contextlib
import hashlib
import itertools
import json
import math
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from irec.datamodules.download import locked, require_space
from irec.datamodules.image_files import read_array, read_sources
from irec.errors import DataError
from irec.files import unfinished
from irec.images import image_paths
from irec.terminal import count_bar

_PIXELS = "pixels.bin"
_INDEX = "images.json"


def write_images(
    path: Path,
    shape: tuple[int, int, int, int],
    batches: Iterable[UInt8[np.ndarray, "_n h w 3"]],
) -> None:
    """Write a .npy file of images, completely or not at all.

    Args:
        path: Gets its name when all images are in it.
        shape: [n, h, w, 3] of all images together.
        batches: The images, in order.

    Raises:
        DataError: There are more or fewer images, or no space for them.
        OutputFileError: The system refuses to write.
    """
    # Written as a file: a full disk ends a process that writes through a memory map.
    with unfinished(path, is_only_writer=True) as part, part.open("wb") as out:
        require_space(path.parent, math.prod(shape))
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(out, header)
        with _counting(path, shape[0]) as count:
            for batch in batches:
                out.write(np.ascontiguousarray(batch).data)
                count(len(batch))


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
        with (part / _PIXELS).open("wb") as out, _counting(folder, n_images) as count:
            for name, pixels in images:
                out.write(np.ascontiguousarray(pixels).data)
                index.append({"name": name, "shape": pixels.shape})
                count(1)
        (part / _INDEX).write_text(json.dumps(index))


@contextlib.contextmanager
def _counting(path: Path, n_images: int) -> Iterator[Callable[[int], None]]:
    """Draw a bar of the images that are counted; in the end they must be so many."""
    n_written = 0
    with count_bar() as bar:
        task = bar.add_task(f"writing {path.name}", total=n_images)

        def count(n: int) -> None:
            nonlocal n_written
            n_written += n
            bar.update(task, completed=n_written)

        yield count
    if n_written != n_images:
        raise DataError(f"{path}: {n_written:,} images are there, expected {n_images:,}")


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


def decoded_once(
    sources: Sequence[str], scales: Sequence[float], root: Path
) -> list[UInt8[np.ndarray, "_h _w 3"]]:
    """Map all images of `sources` into memory, each at all `scales`, in order.

    Whichever process comes first decodes them into a store; the others of the machine wait for it,
    and later runs find it, until a file is another. Arrays of one scale are mapped where they are.

    Args:
        sources: Folders, image files and .npy arrays [n, h, w, 3].
        scales: Factors on height and width.
        root: Folder of all stores.

    Raises:
        DataError: An image is absent or damaged, or `root` cannot be written to.
        OutputFileError: The disk is full.
    """
    images: list[UInt8[np.ndarray, "_h _w 3"]] = []
    for is_mapped, group in itertools.groupby(
        map(Path, sources), lambda path: path.suffix == ".npy" and list(scales) == [1.0]
    ):
        paths = list(group)
        if is_mapped:
            images += read_sources(paths)
        else:
            images += _stored(paths, scales, root)
    return images


def _stored(
    sources: Sequence[Path], scales: Sequence[float], root: Path
) -> list[UInt8[np.ndarray, "_h _w 3"]]:
    """Map the store of these images, made where it is absent or of other files."""
    files = [file for path in sources for file in (image_paths(path) if path.is_dir() else [path])]
    asked = [list(scales), *(str(path.resolve()) for path in sources)]
    name = sources[0].resolve().stem
    place = root / f"{name}-{_digest(asked)}"
    store = place / f"{name}-{_digest([[str(file), *_state_of(file)] for file in files])}"
    with locked(place):
        if not store.exists():
            for outdated in filter(Path.is_dir, place.iterdir()):
                shutil.rmtree(outdated, ignore_errors=True)
            n_images = sum(len(read_array(f)) if f.suffix == ".npy" else 1 for f in files)
            copies = (
                ("", scaled(image, scale)) for image in read_sources(sources) for scale in scales
            )
            write_store(store, n_images * len(scales), copies)
        return [pixels for _, pixels in map_store(store)]


def _state_of(file: Path) -> tuple[int, int]:
    """Return what changes when a file does."""
    try:
        status = file.stat()
    except OSError as error:
        raise DataError(f"{file}: {error.strerror}") from error
    return status.st_size, status.st_mtime_ns


def _digest(of: Any) -> str:
    return hashlib.sha256(json.dumps(of).encode()).hexdigest()[:16]


def scaled(image: UInt8[np.ndarray, "h w 3"], scale: float) -> UInt8[np.ndarray, "_h _w 3"]:
    """Return an image with sides of so many times its own (Lanczos)."""
    if scale == 1.0:
        return image
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    resized = Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(resized)
