"""The ``.irec`` file: one image, and nothing in it that can be derived.

    header      see ``irec.bitstream.header``; ends with the checksum
    alpha       where the colour has alpha: varint length, then that many bytes
                (``irec.bitstream.alpha``)
    payload     all latent tensors, see ``irec.bitstream.payload``
    residual    lossless only, to the end of the file: the pixels' range-coded stream
                (``irec.bitstream.residual``), all tiles in one
    zero bytes  lossy only, as many as make one byte for each 2^16 pixels, so that no file of a few
                bytes keeps a reader busy for hours

How many tiles and tensors there are follows from the image's size and the model: the caller's
``TilePlan`` says so. A lossy file may be cut off anywhere in its payload: whoever allows that gets
the indices that are left, unchecked.

Compatibility: pinned files in the tests keep this layout; a change raises ``FORMAT_VERSION``.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass

from irec.bitstream.bits import BitReader
from irec.bitstream.grid import N_OFFSETS
from irec.bitstream.header import CHECKSUM_BYTES, Header, parse_header, read_varint, write_varint
from irec.bitstream.payload import TileCode, TilePlan, read_tiles, write_tiles
from irec.bitstream.residual import min_residual_bytes
from irec.errors import CorruptFileError, InvalidParameterError, TruncatedFileError

# Deflate cannot expand further than this.
_MAX_DEFLATE_RATIO = 1032
_LOSSY_PIXELS_PER_BYTE = 1 << 16


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
    body += write_tiles(stream.tiles, header, plan) + stream.residual
    if header.lossy:
        body = body.ljust(_min_lossy_bytes(header), b"\0")
    front = header.to_bytes()
    checksum = zlib.crc32(body, zlib.crc32(front)) if header.lossy else header.checksum
    return front + checksum.to_bytes(CHECKSUM_BYTES, "little") + body


def unpack(
    data: bytes, plan_for: Callable[[Header], TilePlan], allow_truncated: bool = False
) -> Bitstream:
    """Reads a file's bytes; time and memory stay proportional to their number.

    Args:
        data: The whole file.
        plan_for: Called with the header, once it is known that a file of this length can hold such
            an image; raises ``ModelMismatchError`` where it has not got the model.
        allow_truncated: Whether a lossy file may lack its end; then its checksum tells nothing,
            and damage may go unnoticed.

    Returns:
        The file's contents; ``check_pixels`` and ``decompress_alpha`` are the caller's part.

    Raises:
        BitstreamError: The bytes are no irec file of this version, truncated or damaged; the
            subclass says which.
    """
    return _parse(data, plan_for, allow_truncated)[0]


def section_sizes(data: bytes, plan_for: Callable[[Header], TilePlan]) -> SectionSizes:
    """Accounts for every bit of a file.

    Args:
        data: The whole file.
        plan_for: As for ``unpack``.

    Raises:
        BitstreamError: As ``unpack``.
    """
    return _parse(data, plan_for, False)[1]


def shortest_beginning(data: bytes, plan_for: Callable[[Header], TilePlan]) -> int:
    """How many bytes of a whole lossy file must be there for ``allow_truncated`` to read it.

    Args:
        data: The whole file.
        plan_for: As for ``unpack``.

    Raises:
        BitstreamError: As ``unpack``.
    """
    stream, sizes = _parse(data, plan_for, False)
    front_bits = sizes.header_bits + sizes.checksum_bits
    needed_bits = max(sizes.alpha_bits + sizes.side_info_bits, 8 * _min_lossy_bytes(stream.header))
    return -(-(front_bits + needed_bits) // 8)


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
    n_offsets = 1 if header.lossy else N_OFFSETS
    if not all(0 <= tile.grid_offset < n_offsets for tile in stream.tiles):
        raise InvalidParameterError("a grid offset is out of range")
    tensors = [tensor for tile in stream.tiles for tensor in tile.tensors]
    if not all(tensor.indices.size == tensor.n_steps for tensor in tensors):
        raise InvalidParameterError("a tensor has another number of indices than of steps")


def _min_lossy_bytes(header: Header) -> int:
    """What follows the header of a lossy file is at least so long."""
    return -(-header.height * header.width // _LOSSY_PIXELS_PER_BYTE)


def _parse(
    data: bytes, plan_for: Callable[[Header], TilePlan], allow_truncated: bool
) -> tuple[Bitstream, SectionSizes]:
    header, header_end = parse_header(data)
    _check_length(data, header, header_end)
    alpha, alpha_end = _parse_alpha(data, header, header_end)
    reader = BitReader(data[alpha_end:])
    if header.lossy and not allow_truncated:
        hint = "; if it only ends too early, decompress --allow-truncated shows what is there"
        _check_checksum(data, header, header_end, hint)
    may_lack = allow_truncated and header.lossy
    tiles, side_info_bits = read_tiles(reader, header, plan_for(header), may_lack)
    bits_end = reader.position
    is_whole = all(len(code.indices) == code.n_steps for tile in tiles for code in tile.tensors)
    if may_lack and is_whole:
        _check_checksum(data, header, header_end)
    padding_bits = reader.align() if is_whole else reader.bits_left
    residual = data[alpha_end + (bits_end + padding_bits) // 8 :]
    if header.lossy:
        _check_end(data, header, header_end, residual)
        padding_bits, residual = padding_bits + 8 * len(residual), b""
    elif len(residual) < min_residual_bytes(header.n_colour_values):
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


def _check_length(data: bytes, header: Header, header_end: int) -> None:
    """Refuse an image that no file of this length can hold, before anything is made for it."""
    needed = min_residual_bytes(header.n_colour_values)
    if header.lossy:
        needed = _min_lossy_bytes(header)
    n_bytes = len(data) - header_end
    if n_bytes < needed:
        raise TruncatedFileError(
            f"{n_bytes} bytes cannot hold the {header.height}x{header.width} image of the header"
        )


def _check_checksum(data: bytes, header: Header, header_end: int, hint: str = "") -> None:
    front = data[: header_end - CHECKSUM_BYTES]
    if zlib.crc32(data[header_end:], zlib.crc32(front)) != header.checksum:
        raise CorruptFileError(f"the file does not match its checksum{hint}")


def _check_end(data: bytes, header: Header, header_end: int, rest: bytes) -> None:
    """Refuse anything after a lossy file's payload but the zero bytes that belong there."""
    if rest and (any(rest) or len(data) - header_end != _min_lossy_bytes(header)):
        raise CorruptFileError(f"{len(rest)} bytes follow the end of the file's contents")


def _parse_alpha(data: bytes, header: Header, start: int) -> tuple[bytes | None, int]:
    if not header.colour.has_alpha:
        return None, start
    length, position = read_varint(data, start)
    if length > len(data) - position:
        raise TruncatedFileError(f"the alpha section has {length} bytes, the file ends before")
    if header.height * header.width > _MAX_DEFLATE_RATIO * length:
        raise CorruptFileError(f"{length} bytes cannot hold the image's alpha plane")
    return data[position : position + length], position + length
