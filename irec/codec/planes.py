"""An image's array seen as what the codec codes: colour planes for the model, and alpha."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from irec.bitstream import Colour
from irec.errors import UnsupportedImageError
from irec.images import MAX_SIDE

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
    if max(height, width) > MAX_SIDE:
        raise UnsupportedImageError(
            f"{width}x{height} pixels; sides of up to {MAX_SIDE:,} fit into a file"
        )
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
