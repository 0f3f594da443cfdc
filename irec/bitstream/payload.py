"""The bits of all tiles: first everybody's side information, then everybody's indices.

    per tile       its side information: grid offset (Rice code, parameter 0; lossless only), then
                   per tensor the number of steps and the rho index (``irec.bitstream.side_info``)
    per tile       one index per step, log2 of the number of candidates bits: tensor by tensor, or
                   in the order that the caller's ``TilePlan`` gives
    zero bits      up to a whole byte

So a reader knows where each index lies, and what a file that ends early lacks.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from irec.bitstream.bits import BitReader, BitWriter
from irec.bitstream.grid import N_OFFSETS
from irec.bitstream.header import Header
from irec.bitstream.side_info import SideInfoModel, read_side_info, write_side_info
from irec.errors import CorruptFileError, TruncatedFileError

Sequence = Callable[[list[int]], Int64[np.ndarray, " indices"]]


@dataclass(frozen=True)
class TensorCode:
    """One latent tensor of one tile.

    Attributes:
        n_steps: How many steps the coder took.
        rho_index: Of the schedule, 0 to 31; 0 for a tensor without steps.
        indices: int64, one per step; fewer where the file was cut off.
    """

    n_steps: int
    rho_index: int
    indices: Int64[np.ndarray, " n"]


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
        sequence: From the numbers of steps of a tile's tensors to the tensor of each index, in the
            order of the file; raises ``CorruptFileError`` where it refuses the numbers. Tensor by
            tensor where it is None.
    """

    side_info: SideInfoModel
    tile_pixels: tuple[int, ...]
    sequence: Sequence | None = None


def write_tiles(tiles: list[TileCode], header: Header, plan: TilePlan) -> bytes:
    """Writes the bits of all tiles, which must fit the plan."""
    writer = BitWriter()
    for tile, tile_pixels in zip(tiles, plan.tile_pixels, strict=True):
        if not header.lossy:
            writer.write_rice(tile.grid_offset, 0)
        numbers = [(tensor.n_steps, tensor.rho_index) for tensor in tile.tensors]
        write_side_info(writer, numbers, plan.side_info, tile_pixels)
    for tile in tiles:
        writer.write_array(_in_sequence(tile.tensors, plan), header.log2_candidates)
    return writer.to_bytes()


def read_tiles(
    reader: BitReader, header: Header, plan: TilePlan, allow_truncated: bool
) -> tuple[list[TileCode], int]:
    """Reads what ``write_tiles`` wrote, but for the last zero bits.

    Args:
        reader: Stands at the first bit.
        header: Of the file.
        plan: As it was written with.
        allow_truncated: Whether indices may be missing at the end.

    Returns:
        The tiles, and how many bits their side information took.

    Raises:
        TruncatedFileError: The bits end too early.
        CorruptFileError: A number is out of range.
    """
    numbers = []
    for tile_pixels in plan.tile_pixels:
        grid_offset = 0 if header.lossy else reader.read_rice(0)
        if grid_offset >= N_OFFSETS:
            raise CorruptFileError(f"the file claims grid offset {grid_offset}")
        numbers.append((grid_offset, read_side_info(reader, plan.side_info, tile_pixels)))
    side_info_bits = reader.position
    n_steps = sum(steps for _, tensors in numbers for steps, _ in tensors)
    if n_steps * header.log2_candidates > reader.bits_left and not allow_truncated:
        raise TruncatedFileError(f"the file claims {n_steps} indices and ends before")
    tiles = [
        TileCode(_read_tensors(reader, tensors, header, plan), grid_offset)
        for grid_offset, tensors in numbers
    ]
    return tiles, side_info_bits


def _in_sequence(tensors: list[TensorCode], plan: TilePlan) -> Int64[np.ndarray, " indices"]:
    """All indices of a tile in the order of the file."""
    indices = [tensor.indices for tensor in tensors]
    if plan.sequence is None:
        return np.concatenate([np.zeros(0, np.int64), *indices])
    tensor_of = plan.sequence([tensor.n_steps for tensor in tensors])
    mixed = np.empty(tensor_of.size, np.int64)
    for number, own in enumerate(indices):
        mixed[tensor_of == number] = own
    return mixed


def _read_tensors(
    reader: BitReader, tensors: list[tuple[int, int]], header: Header, plan: TilePlan
) -> list[TensorCode]:
    """One tile's tensors, as far as the bits go; `tensors` holds their side information."""
    n_steps = [steps for steps, _ in tensors]
    width = header.log2_candidates
    mixed = reader.read_array(min(sum(n_steps), reader.bits_left // width), width)
    if plan.sequence is None:
        ends = np.cumsum(n_steps)
        parts = np.split(mixed, ends[:-1]) if n_steps else []
    else:
        tensor_of = plan.sequence(n_steps)[: mixed.size]
        parts = [mixed[tensor_of == number] for number in range(len(tensors))]
    return [
        TensorCode(steps, rho_index, own)
        for (steps, rho_index), own in zip(tensors, parts, strict=True)
    ]
