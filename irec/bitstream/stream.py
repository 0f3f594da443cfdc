"""What a file holds, and what a part of it is: the words that sections and container share."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Int64

from irec.bitstream.header import Header
from irec.bitstream.side_info import SideInfoModel
from irec.coding import TensorCode

TensorOfIndex = Callable[[list[TensorCode]], Int64[np.ndarray, " indices"]]


@dataclass(frozen=True)
class TileCode:
    """One tile: its tensors in decoding order, and the shift of its likelihood grid (0 to 15)."""

    tensors: list[TensorCode]
    grid_offset: int = 0


@dataclass(frozen=True)
class TilePlan:
    """What model and image size together say about the bits to come.

    Attributes:
        side_info: What is usual for the model's tensors.
        tile_pixels: Height x width of each tile as the model sees it, in coding order.
        tensor_of_index: From the steps and schedules of a tile's tensors to the tensor of each
            index, in the order of the file; tensor by tensor where it is None.
    """

    side_info: SideInfoModel
    tile_pixels: tuple[int, ...]
    tensor_of_index: TensorOfIndex | None = None


@dataclass
class Bitstream:
    """All that a file holds; metadata, ``alpha``, ``residual`` and ``stored`` are compressed.

    Attributes:
        header: What image it is, which model and profile made the file.
        tiles: Codes of the latent tensors.
        residual: The pixels' range-coded stream; empty in lossy files.
        alpha: The alpha plane's section, where the colour has alpha.
        pixel_checksum: CRC32 of the pixels of a lossless file, else 0.
        metadata: Colour profile, EXIF and XMP (:mod:`irec.bitstream.stored`), or None.
        stored: The image as another format has it (:mod:`irec.bitstream.stored`), in files without
            a model.
        sizes: Of a file that was read or written: bits of each section, by name; they sum to 8 x
            the file's length.
        is_whole: False of a file that was read as far as it went.
    """

    header: Header
    tiles: list[TileCode] = field(default_factory=list)
    residual: bytes = b""
    alpha: bytes | None = None
    pixel_checksum: int = 0
    metadata: bytes | None = None
    stored: bytes = b""
    sizes: dict[str, int] = field(default_factory=dict, compare=False)
    is_whole: bool = True
