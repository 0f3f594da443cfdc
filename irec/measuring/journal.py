"""What a run has done so far, so that the same command goes on where it was killed."""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from irec.errors import DataError
from irec.evaluation.results import Row, row_as_dict, row_from_dict

_PREFIX, _SUFFIX = "unfinished-", ".jsonl"


class Journal:
    """One line per image done, in a file for each process; gone once the run is complete.

    A line holds hashes of the image and of the file made from it, which was decoded and compared
    then: where both are still the same and so are model and settings, nothing has to be redone.
    """

    def __init__(self, folder: Path, settings: dict[str, Any], rank: int = 0) -> None:
        """Read what earlier runs left.

        Args:
            folder: Where the compressed files are.
            settings: Everything that files and figures depend on, as JSON has it.
            rank: Of this process; it writes a file of its own.
        """
        self.folder = folder
        self.settings = settings
        self.own = folder / f"{_PREFIX}{rank}{_SUFFIX}"
        self._done = {row.identity: (row, line) for row, line in self._read()}

    def find(
        self,
        name: str,
        pixels: UInt8[np.ndarray, "h w c"],
        data: bytes,
        quality: float | None = None,
    ) -> Row | None:
        """Return what was measured on an image, or None where it must be compressed.

        Args:
            name: Of the image.
            pixels: Of the image as it is now.
            data: Its file as it is now.
            quality: That it is to have; None for models of one quality and for lossless ones.
        """
        row, line = self._done.get((name, quality), (None, {}))
        if row is None or line["image"] != _hash_image(pixels) or line["file"] != _hash(data):
            return None
        return row

    def add(self, row: Row, pixels: UInt8[np.ndarray, "h w c"], data: bytes) -> None:
        """Note that an image's file is on disk; the note is on disk when this returns."""
        line = {
            "settings": self.settings,
            "image": _hash_image(pixels),
            "file": _hash(data),
            "row": row_as_dict(row),
        }
        with self.own.open("a") as file:
            # The line of a run that was killed in the middle of one must not spoil this one.
            file.write(("\n" if file.tell() else "") + json.dumps(line))
            file.flush()
            os.fsync(file.fileno())

    def close(self) -> None:
        """Remove the files of all processes: the run is complete."""
        for path in self._paths():
            path.unlink(missing_ok=True)

    def _paths(self) -> list[Path]:
        return sorted(self.folder.glob(f"{_PREFIX}*{_SUFFIX}"))

    def _read(self) -> Iterator[tuple[Row, dict[str, Any]]]:
        for path in self._paths():
            for text in path.read_text().splitlines():
                try:
                    line = json.loads(text)
                    if line["settings"] == self.settings:
                        yield row_from_dict(line["row"]), line
                except (ValueError, DataError):
                    continue  # a process was killed while it wrote, or another version did


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _hash_image(pixels: UInt8[np.ndarray, "h w c"]) -> str:
    return _hash(repr(pixels.shape).encode() + pixels.tobytes())
