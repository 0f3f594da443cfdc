"""How an image is cut into tiles that the model sees one by one.

Tiles bound the memory of the float64 pass and keep the grid of likelihood parameters safe (see
:mod:`irec.bitstream.grid`), whatever the size of the image. The rule is part of the
format. The image of a lossy file is one tile.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8


@dataclass(frozen=True)
class Tile:
    """A rectangle of an image, pixels [top, top + height) x [left, left + width).

    Attributes:
        padded_height: Height as the model sees it, a multiple of its stride.
        padded_width: Width, likewise.
    """

    top: int
    left: int
    height: int
    width: int
    padded_height: int
    padded_width: int

    @property
    def padded_pixels(self) -> int:
        """Height x width as the model sees it."""
        return self.padded_height * self.padded_width

    def cut(self, pixels: UInt8[np.ndarray, "c h w"]) -> UInt8[np.ndarray, "c _h _w"]:
        """Return the tile's part of an image [c, h, w]."""
        return pixels[:, self.top : self.top + self.height, self.left : self.left + self.width]

    def cut_and_pad(self, pixels: UInt8[np.ndarray, "c h w"]) -> UInt8[np.ndarray, "c _h _w"]:
        """Return the tile's part, padded by repeating its last row and column."""
        missing = (self.padded_height - self.height, self.padded_width - self.width)
        return np.pad(self.cut(pixels), ((0, 0), (0, missing[0]), (0, missing[1])), mode="edge")


def tiles_of(height: int, width: int, stride: int, max_side: int | None) -> list[Tile]:
    """Return the tiles of an image, row by row, of nearly equal size.

    Args:
        height: Of the image in pixels.
        width: Of the image in pixels.
        stride: Of the model; tiles begin at its multiples.
        max_side: Most pixels of a side, of the profile; None for one tile.
    """
    return [
        Tile(top, left, h, w, _round_up(h, stride), _round_up(w, stride))
        for top, h in _spans(height, stride, max_side)
        for left, w in _spans(width, stride, max_side)
    ]


def _spans(side: int, stride: int, max_side: int | None) -> list[tuple[int, int]]:
    """Start and lengths of the parts of one side."""
    n_parts = 1 if max_side is None else -(-side // max_side)
    length = _round_up(-(-side // n_parts), stride)
    return [(start, min(length, side - start)) for start in range(0, side, length)]


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
