"""An image taken apart: planes that the model codes and alpha, tiles, batches of tiles.

Tiles bound the memory of the float64 pass and keep the grid of likelihood parameters safe (see
:mod:`irec.bitstream.grid`), whatever the size of the image. The rule is part of the format. The
image of a lossy file is one tile.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64, UInt8
from torch import Tensor

from irec.bitstream import Colour, LogisticParameters
from irec.errors import UnsupportedImageError
from irec.images import check_size
from irec.models import likelihoods

# Pixels that one generative pass takes together, or one tile where that has more. What it bounds,
# memory, and what it wins: benchmarks/constants.py _MAX_BATCH_PIXELS.
_MAX_BATCH_PIXELS = 512 * 512
MAX_PIXELS = 1 << 28

_COLOUR_OF_CHANNELS = {1: Colour.GREY, 2: Colour.GREY_ALPHA, 3: Colour.RGB, 4: Colour.RGBA}
# Colour pictures whose channels are equal: what they are coded as.
_EQUAL = {Colour.RGB: Colour.EQUAL_RGB, Colour.RGBA: Colour.EQUAL_RGBA}


@dataclass(frozen=True)
class Planes:
    """An image taken apart.

    Attributes:
        colour: What the channels are.
        coded: uint8 [c, h, w] that the model codes; c is 3, or 1 where all colours are equal.
        alpha: uint8 [h, w], or None.
    """

    colour: Colour
    coded: UInt8[np.ndarray, "c h w"]
    alpha: UInt8[np.ndarray, "h w"] | None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.coded.shape[1], self.coded.shape[2]

    @property
    def for_model(self) -> UInt8[np.ndarray, "3 h w"]:
        """What the model sees: grey is repeated three times."""
        return np.broadcast_to(self.coded, (3, *self.coded.shape[1:]))

    @property
    def all_channels(self) -> UInt8[np.ndarray, "c h w"]:
        """What is coded and alpha, as the checksum covers them."""
        if self.alpha is None:
            return self.coded
        return np.concatenate([self.coded, self.alpha[None]])


def split_planes(pixels: np.ndarray) -> Planes:
    """Take an image apart.

    Raises:
        UnsupportedImageError: Not uint8 [h, w, 1 to 4], empty, or too large.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] not in _COLOUR_OF_CHANNELS:
        raise UnsupportedImageError(
            f"an array of {pixels.dtype} {pixels.shape}: irec codes uint8 [height, width, channels]"
            " with 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGBA) channels"
        )
    if pixels.size == 0:
        raise UnsupportedImageError(f"an empty image, {pixels.shape}")
    height, width = pixels.shape[:2]
    check_size(width, height, None, "an array")
    if height * width > MAX_PIXELS:
        raise UnsupportedImageError(
            f"{width}x{height} pixels are more than irec codes in one file "
            f"({MAX_PIXELS}); cut the image up"
        )
    colour = _COLOUR_OF_CHANNELS[pixels.shape[2]]
    planes = pixels.transpose(2, 0, 1)
    alpha = planes[colour.n_colour_channels] if colour.has_alpha else None
    if colour in _EQUAL and (planes[0] == planes[1]).all() and (planes[1] == planes[2]).all():
        colour = _EQUAL[colour]
    return Planes(colour, planes[: colour.n_coded_channels], alpha)


def join_planes(planes: Planes) -> UInt8[np.ndarray, "h w c"]:
    """Undo :func:`split_planes`."""
    colours = np.broadcast_to(planes.coded, (planes.colour.n_colour_channels, *planes.size))
    alpha = [] if planes.alpha is None else [planes.alpha[None]]
    return np.ascontiguousarray(np.concatenate([colours, *alpha]).transpose(1, 2, 0))


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
    def padded_size(self) -> tuple[int, int]:
        """Height and width as the model sees it."""
        return self.padded_height, self.padded_width

    @property
    def padded_pixels(self) -> int:
        """Their product."""
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


@dataclass(frozen=True)
class TileWork:
    """One tile of one image.

    Attributes:
        image: Index of the image among those coded together.
        planes: Of the image.
        tile: Of the image.
    """

    image: int
    planes: Planes
    tile: Tile


def batches_of_tiles(
    images: Sequence[Planes], stride: int, max_side: int | None
) -> Iterator[list[TileWork]]:
    """All images' tiles in order; neighbours of equal size come together, as far as memory goes.

    Args:
        images: To be coded.
        stride: Of the model.
        max_side: Of tiles.
    """
    works = (
        TileWork(index, planes, tile)
        for index, planes in enumerate(images)
        for tile in tiles_of(*planes.size, stride, max_side)
    )
    for _, alike in itertools.groupby(works, lambda work: work.tile.padded_size):
        same = list(alike)
        limit = max(1, _MAX_BATCH_PIXELS // same[0].tile.padded_pixels)
        for start in range(0, len(same), limit):
            yield same[start : start + limit]


def pixels_of(batch: Sequence[TileWork], device: torch.device) -> Float64[Tensor, "n 3 h w"]:
    """Return padded tiles of equal size as the model takes them."""
    tiles = np.stack([work.tile.cut_and_pad(work.planes.for_model) for work in batch])
    return torch.from_numpy(tiles).to(device).double()


def for_coder(
    parameters: likelihoods.LogisticParameters,
    image: int,
    n_channels: int,
    height: int,
    width: int,
) -> LogisticParameters:
    """Return the model's float64 parameters as the residual coder takes them.

    Args:
        parameters: Of a batch.
        image: Number of the image in the batch.
        n_channels: 1 leaves out all but red, which grey images are coded as.
        height: Of the pixels that are coded; what lies beyond is padding.
        width: likewise.
    """
    given = parameters.cropped(height, width, slice(image, image + 1))

    def array(values: Tensor) -> np.ndarray:
        return np.ascontiguousarray(values.cpu().numpy())

    has_coupling = given.coupling is not None and n_channels == 3
    return LogisticParameters(
        array(given.mean[0, :, :n_channels]),
        array(given.log_scale[0, :, :n_channels]),
        array(given.coupling[0]) if has_coupling else None,  # type: ignore[index]
        None if given.logit is None else array(given.logit[0]),
        None if given.base is None else array(given.base[0, :n_channels]),
    )
