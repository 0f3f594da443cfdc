"""The ``.irec`` file: one image, and nothing in it that can be derived.

    header      see ``irec.bitstream.header``; ends with the checksum
    alpha       where the colour has alpha: varint length, then that many bytes
                (``irec.bitstream.alpha``)
    bits        most significant bit first:
                  per tile, its side information: grid offset (Rice code, parameter 0), then per
                  tensor the number of steps and the rho index (``irec.bitstream.side_info``)
                  per tile and tensor, one index per step, log2 of the number of candidates bits
                  zero bits up to a whole byte
    residual    lossless only, to the end of the file: the pixels' range-coded stream
                (``irec.bitstream.residual``), all tiles in one

All tiles' side information precedes all indices, so that a reader knows where each index lies. How
many tiles and tensors there are follows from the image's size and the model: the caller's
``TilePlan`` says so.

Compatibility: pinned files in the tests keep this layout; a change raises ``FORMAT_VERSION``.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from irec.bitstream.bits import BitReader, BitWriter
from irec.bitstream.grid import N_OFFSETS
from irec.bitstream.header import CHECKSUM_BYTES, Header, parse_header, read_varint, write_varint
from irec.bitstream.residual import min_residual_bytes
from irec.bitstream.side_info import SideInfoModel, read_side_info, write_side_info
from irec.errors import CorruptFileError, InvalidParameterError, TruncatedFileError

# Deflate cannot expand further than this.
_MAX_DEFLATE_RATIO = 1032


@dataclass(frozen=True)
class TensorCode:
    """One latent tensor of one tile.

    Attributes:
        rho_index: Of the schedule, 0 to 31; 0 for a tensor without steps.
        indices: int64, one per step.
    """

    rho_index: int
    indices: Int64[np.ndarray, " n"]

    @property
    def n_steps(self) -> int:
        """How many steps the coder took, and so how many indices there are."""
        return int(self.indices.size)


@dataclass(frozen=True)
class TileCode:
    """One tile: the shift of its likelihood grid (0 to 15), and its tensors in decoding order."""

    grid_offset: int
    tensors: list[TensorCode]


@dataclass(frozen=True)
class TilePlan:
    """What model and image size together say about the bits to come.

    Attributes:
        side_info: What is usual for the model's tensors.
        tile_pixels: Height x width of each tile as the model sees it, in coding order.
    """

    side_info: SideInfoModel
    tile_pixels: tuple[int, ...]


@dataclass(frozen=True)
class Bitstream:
    """All that a file holds; ``alpha`` and ``residual`` are still compressed."""

    header: Header
    tiles: list[TileCode]
    residual: bytes = b""
    alpha: bytes | None = None


@dataclass(frozen=True)
class SectionSizes:
    """Where a file's bits go; the sum of the fields is exactly 8 x the file's length."""

    header_bits: int
    checksum_bits: int
    alpha_bits: int
    side_info_bits: int
    index_bits: int
    padding_bits: int
    residual_bits: int


def pack(stream: Bitstream, plan: TilePlan) -> bytes:
    """Writes a file's bytes.

    Args:
        stream: What to write.
        plan: Tiles and tensors that the reader will expect.

    Raises:
        InvalidParameterError: The stream contradicts its header or the plan, or a number is out of
            range.
    """
    header = stream.header
    _check_stream(stream, plan)
    body = b""
    if stream.alpha is not None:
        body = write_varint(len(stream.alpha)) + stream.alpha
    body += _pack_tiles(stream, plan) + stream.residual
    front = header.to_bytes()
    checksum = zlib.crc32(body, zlib.crc32(front)) if header.lossy else header.checksum
    return front + checksum.to_bytes(CHECKSUM_BYTES, "little") + body


def unpack(data: bytes, plan_for: Callable[[Header], TilePlan]) -> Bitstream:
    """Reads a file's bytes; time and memory stay proportional to their number.

    Args:
        data: The whole file.
        plan_for: Called with the header, once it is known that a file of this length can hold such
            an image; raises ``ModelMismatchError`` where it has not got the model.

    Returns:
        The file's contents; ``check_pixels`` and ``decompress_alpha`` are the caller's part.

    Raises:
        BitstreamError: The bytes are no irec file of this version, truncated or damaged; the
            subclass says which.
    """
    return _parse(data, plan_for)[0]


def section_sizes(data: bytes, plan_for: Callable[[Header], TilePlan]) -> SectionSizes:
    """Accounts for every bit of a file.

    Args:
        data: The whole file.
        plan_for: As for ``unpack``.

    Raises:
        BitstreamError: As ``unpack``.
    """
    return _parse(data, plan_for)[1]


def _check_stream(stream: Bitstream, plan: TilePlan) -> None:
    header = stream.header
    if len(stream.tiles) != len(plan.tile_pixels):
        raise InvalidParameterError(f"{len(stream.tiles)} tiles, {len(plan.tile_pixels)} planned")
    if (stream.alpha is not None) != header.colour.has_alpha:
        raise InvalidParameterError(f"alpha section and colour {header.colour.name} disagree")
    if header.lossy and stream.residual:
        raise InvalidParameterError("a lossy file has no residual")
    if not header.lossy and len(stream.residual) < min_residual_bytes(header.n_colour_values):
        raise InvalidParameterError(f"a residual of {len(stream.residual)} bytes is too short")
    if not all(0 <= tile.grid_offset < N_OFFSETS for tile in stream.tiles):
        raise InvalidParameterError("a grid offset is out of range")


def _pack_tiles(stream: Bitstream, plan: TilePlan) -> bytes:
    writer = BitWriter()
    for tile, tile_pixels in zip(stream.tiles, plan.tile_pixels, strict=True):
        writer.write_rice(tile.grid_offset, 0)
        numbers = [(tensor.n_steps, tensor.rho_index) for tensor in tile.tensors]
        write_side_info(writer, numbers, plan.side_info, tile_pixels)
    for tile in stream.tiles:
        for tensor in tile.tensors:
            writer.write_array(tensor.indices, stream.header.log2_candidates)
    return writer.to_bytes()


def _parse(data: bytes, plan_for: Callable[[Header], TilePlan]) -> tuple[Bitstream, SectionSizes]:
    header, header_end = parse_header(data)
    alpha, alpha_end = _parse_alpha(data, header, header_end)
    n_bytes = len(data) - alpha_end
    if not header.lossy and n_bytes < min_residual_bytes(header.n_colour_values):
        raise TruncatedFileError(
            f"{n_bytes} bytes cannot hold the {header.height}x{header.width} image of the header"
        )
    if header.lossy:
        front = data[: header_end - CHECKSUM_BYTES]
        if zlib.crc32(data[header_end:], zlib.crc32(front)) != header.checksum:
            raise CorruptFileError("the file does not match its checksum")
    reader = BitReader(data[alpha_end:])
    tiles, side_info_bits = _parse_tiles(reader, header, plan_for(header))
    bits_end = reader.position
    padding_bits = reader.align()
    residual = data[alpha_end + reader.position // 8 :]
    if header.lossy and residual:
        raise CorruptFileError(f"{len(residual)} bytes follow the end of the file's contents")
    if not header.lossy and len(residual) < min_residual_bytes(header.n_colour_values):
        raise TruncatedFileError(f"{len(residual)} bytes are left for the pixels: too few")
    sizes = SectionSizes(
        header_bits=8 * (header_end - CHECKSUM_BYTES),
        checksum_bits=8 * CHECKSUM_BYTES,
        alpha_bits=8 * (alpha_end - header_end),
        side_info_bits=side_info_bits,
        index_bits=bits_end - side_info_bits,
        padding_bits=padding_bits,
        residual_bits=8 * len(residual),
    )
    return Bitstream(header, tiles, residual, alpha), sizes


def _parse_alpha(data: bytes, header: Header, start: int) -> tuple[bytes | None, int]:
    if not header.colour.has_alpha:
        return None, start
    length, position = read_varint(data, start)
    if length > len(data) - position:
        raise TruncatedFileError(f"the alpha section has {length} bytes, the file ends before")
    if header.height * header.width > _MAX_DEFLATE_RATIO * length:
        raise CorruptFileError(f"{length} bytes cannot hold the image's alpha plane")
    return data[position : position + length], position + length


def _parse_tiles(reader: BitReader, header: Header, plan: TilePlan) -> tuple[list[TileCode], int]:
    """The tiles, and how many bits their side information took."""
    numbers = []
    for tile_pixels in plan.tile_pixels:
        grid_offset = reader.read_rice(0)
        if grid_offset >= N_OFFSETS:
            raise CorruptFileError(f"the file claims grid offset {grid_offset}")
        numbers.append((grid_offset, read_side_info(reader, plan.side_info, tile_pixels)))
    side_info_bits = reader.position
    n_steps = sum(steps for _, tensors in numbers for steps, _ in tensors)
    if n_steps * header.log2_candidates > reader.bits_left:
        raise TruncatedFileError(f"the file claims {n_steps} indices and ends before")
    tiles = [
        TileCode(
            grid_offset,
            [
                TensorCode(rho_index, reader.read_array(steps, header.log2_candidates))
                for steps, rho_index in tensors
            ],
        )
        for grid_offset, tensors in numbers
    ]
    return tiles, side_info_bits
