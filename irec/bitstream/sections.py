"""The sections of a file after its header: how each is written and read.

What they hold stands in ``docs/format.md``. A new section is two functions here and its place in
:data:`SECTIONS`; its size, its share in ``irec inspect`` and the checksum over it come by
themselves.
"""

import functools
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from irec.bitstream.bits import BitReader, BitWriter
from irec.bitstream.grid import N_OFFSETS
from irec.bitstream.header import Header
from irec.bitstream.side_info import read_side_info, write_side_info
from irec.bitstream.stream import Bitstream, TileCode, TilePlan
from irec.coding import TensorCode
from irec.errors import CorruptFileError, InvalidParameterError, TruncatedFileError

CHECKSUM_BYTES = 4
PIXELS_PER_BYTE = 1 << 16
# Deflate cannot expand further than this.
_MAX_DEFLATE_RATIO = 1032


@dataclass(frozen=True)
class Section:
    """A part of a file.

    Attributes:
        name: In the account of a file's bits.
        belongs: Whether a file with this header has the section.
        write: Raises InvalidParameterError where the contents contradict the header.
        read: Into the stream; raises BitstreamError where the bytes are not as written.
        may_be_cut: Whether the file is of use where it ends in this section.
    """

    name: str
    belongs: Callable[[Header], bool]
    write: Callable[[BitWriter, Bitstream, TilePlan], None]
    read: Callable[[BitReader, Bitstream, TilePlan], None]
    may_be_cut: bool = False


def min_file_bytes(header: Header) -> int:
    """Return the least length of a file: one byte for each 2^16 pixels."""
    return -(-header.height * header.width // PIXELS_PER_BYTE)


def _has_model(header: Header) -> bool:
    return header.profile.has_model


def _has_alpha(header: Header) -> bool:
    # What is stored holds its own.
    return header.colour.has_alpha and header.profile.has_model


def _write_counted(field: str, writer: BitWriter, stream: Bitstream, plan: TilePlan) -> None:
    """Write whole bytes that a field of the stream holds, their number before them."""
    data = getattr(stream, field)
    if data is None:
        raise InvalidParameterError(f"no {field}, where the header says that there is some")
    writer.write_varint(len(data))
    writer.write_bytes(data)


def _read_counted(field: str, reader: BitReader, stream: Bitstream, plan: TilePlan) -> None:
    setattr(stream, field, reader.read_bytes(reader.read_varint()))


def _read_alpha(reader: BitReader, stream: Bitstream, plan: TilePlan) -> None:
    """Refuse fewer bytes than can hold such a plane."""
    _read_counted("alpha", reader, stream, plan)
    n_bytes = len(stream.alpha or b"")
    if stream.header.height * stream.header.width > _MAX_DEFLATE_RATIO * n_bytes:
        raise CorruptFileError(f"{n_bytes} bytes cannot hold the image's alpha plane")


def _write_side_info(writer: BitWriter, stream: Bitstream, plan: TilePlan) -> None:
    if len(stream.tiles) != len(plan.tile_pixels):
        raise InvalidParameterError(f"{len(stream.tiles)} tiles, {len(plan.tile_pixels)} planned")
    has_offset = stream.header.profile.has_residual
    for tile, tile_pixels in zip(stream.tiles, plan.tile_pixels, strict=True):
        if not 0 <= tile.grid_offset < (N_OFFSETS if has_offset else 1):
            raise InvalidParameterError(f"grid offset {tile.grid_offset} is out of range")
        if has_offset:
            writer.write_rice(tile.grid_offset, 0)
        numbers = [(tensor.n_steps, tensor.rho_index) for tensor in tile.tensors]
        write_side_info(writer, numbers, plan.side_info, tile_pixels)


def _read_side_info(reader: BitReader, stream: Bitstream, plan: TilePlan) -> None:
    """Give tiles whose tensors have no indices yet."""
    profile, none = stream.header.profile, torch.zeros(0, dtype=torch.int64)
    for tile_pixels in plan.tile_pixels:
        grid_offset = reader.read_rice(0) if profile.has_residual else 0
        if grid_offset >= N_OFFSETS:
            raise CorruptFileError(f"the file claims grid offset {grid_offset}")
        numbers = read_side_info(reader, plan.side_info, tile_pixels)
        claimed_bits = sum(n_steps for n_steps, _ in numbers) * profile.coder.bits_per_step
        limit = profile.max_latent_bits_per_pixel
        if limit is not None and claimed_bits > limit * tile_pixels:
            raise CorruptFileError(f"the file claims {claimed_bits} bits of latent tensors")
        tensors = [TensorCode(n_steps, rho_index, none) for n_steps, rho_index in numbers]
        stream.tiles.append(TileCode(tensors, grid_offset))


def _write_indices(writer: BitWriter, stream: Bitstream, plan: TilePlan) -> None:
    """Write them tile by tile, in the plan's order."""
    for tile in stream.tiles:
        if any(tensor.indices.numel() != tensor.n_steps for tensor in tile.tensors):
            raise InvalidParameterError("a tensor has another number of indices than of steps")
        indices = [tensor.indices.numpy() for tensor in tile.tensors]
        mixed = np.concatenate([np.zeros(0, np.int64), *indices])
        if plan.tensor_of_index is not None:
            tensor_of = plan.tensor_of_index(tile.tensors)
            for number, own in enumerate(indices):
                mixed[tensor_of == number] = own
        writer.write_array(mixed, stream.header.profile.coder.bits_per_step)


def _read_indices(reader: BitReader, stream: Bitstream, plan: TilePlan) -> None:
    """Read as many as there are; TruncatedFileError, once these are read, where some lack."""
    width = stream.header.profile.coder.bits_per_step
    n_claimed = sum(tensor.n_steps for tile in stream.tiles for tensor in tile.tensors)
    n_missing = n_claimed - min(n_claimed, reader.bits_left // width)
    stream.tiles = [
        TileCode(_read_tile(reader, tile.tensors, plan, width), tile.grid_offset)
        for tile in stream.tiles
    ]
    if n_missing:
        raise TruncatedFileError(
            f"the file ends early: it lacks {n_missing} of {n_claimed} indices"
        )


def _read_tile(
    reader: BitReader, tensors: list[TensorCode], plan: TilePlan, width: int
) -> list[TensorCode]:
    n_steps = [tensor.n_steps for tensor in tensors]
    mixed = reader.read_array(min(sum(n_steps), reader.bits_left // width), width)
    if plan.tensor_of_index is None:
        parts = np.split(mixed, np.cumsum(n_steps)[:-1]) if n_steps else []
    else:
        tensor_of = plan.tensor_of_index(tensors)[: mixed.size]
        parts = [mixed[tensor_of == number] for number in range(len(tensors))]
    return [
        TensorCode(tensor.n_steps, tensor.rho_index, torch.from_numpy(own))
        for tensor, own in zip(tensors, parts, strict=True)
    ]


def _write_residual(writer: BitWriter, stream: Bitstream, plan: TilePlan) -> None:
    """Write of all but small images their number first."""
    if stream.header.tells_length:
        writer.write_varint(len(stream.residual))
    writer.write_bytes(stream.residual)


def _read_residual(reader: BitReader, stream: Bitstream, plan: TilePlan) -> None:
    """Read of a small image all but the checksum."""
    claimed = reader.read_varint() if stream.header.tells_length else 0
    n_left = reader.bits_left // 8 - CHECKSUM_BYTES
    if n_left < claimed:
        raise TruncatedFileError(
            f"the file ends early: it lacks {claimed - n_left} bytes of its pixels and checksum"
        )
    stream.residual = reader.read_bytes(claimed if stream.header.tells_length else n_left)


def _write_filler(writer: BitWriter, stream: Bitstream, plan: TilePlan) -> None:
    writer.write_bytes(bytes(_n_filling(writer.n_bits, stream.header)))


def _read_filler(reader: BitReader, stream: Bitstream, plan: TilePlan) -> None:
    if any(reader.read_bytes(_n_filling(reader.position, stream.header))):
        raise CorruptFileError("the filling bytes are not zero")


def _n_filling(n_bits_before: int, header: Header) -> int:
    return max(0, min_file_bytes(header) - n_bits_before // 8 - CHECKSUM_BYTES)


def _write_checksum(writer: BitWriter, stream: Bitstream, plan: TilePlan) -> None:
    checksum = zlib.crc32(writer.to_bytes()) ^ stream.pixel_checksum
    writer.write_bytes(checksum.to_bytes(CHECKSUM_BYTES, "little"))


def _read_checksum(reader: BitReader, stream: Bitstream, plan: TilePlan) -> None:
    """Leave the pixels' part, if there is one, to whoever decodes them."""
    checksum = zlib.crc32(reader.bytes_read())
    checksum ^= int.from_bytes(reader.read_bytes(CHECKSUM_BYTES), "little")
    if checksum and not stream.header.profile.has_residual:
        raise CorruptFileError("the file is damaged: it does not match its checksum")
    stream.pixel_checksum = checksum


SECTIONS = (
    # Colour profile, EXIF and XMP (irec.bitstream.stored).
    Section(
        "metadata",
        lambda header: header.has_metadata,
        functools.partial(_write_counted, "metadata"),
        functools.partial(_read_counted, "metadata"),
    ),
    # The image as another format has it (irec.bitstream.stored).
    Section(
        "stored",
        lambda header: not header.profile.has_model,
        functools.partial(_write_counted, "stored"),
        functools.partial(_read_counted, "stored"),
    ),
    # The alpha plane (irec.bitstream.stored).
    Section("alpha", _has_alpha, functools.partial(_write_counted, "alpha"), _read_alpha),
    # Of each tile the grid offset (lossless), of each tensor the number of steps and the rho.
    Section("side_info", _has_model, _write_side_info, _read_side_info),
    # One index for each step, log2 M bits each.
    Section("indices", _has_model, _write_indices, _read_indices, may_be_cut=True),
    # Zero bits up to a whole byte.
    Section(
        "padding",
        _has_model,
        lambda writer, _stream, _plan: writer.align(),
        lambda reader, _stream, _plan: reader.align(),
        may_be_cut=True,
    ),
    # The pixels' range-coded stream (irec.bitstream.residual), all tiles in one.
    Section(
        "residual",
        lambda header: header.profile.has_residual,
        _write_residual,
        _read_residual,
    ),
    # Zero bytes, so that no file of a few bytes keeps a reader busy for hours.
    Section("filler", lambda header: True, _write_filler, _read_filler, may_be_cut=True),
    # CRC32 of all bytes before it, exclusive or that of the pixels of a lossless file.
    Section("checksum", lambda header: True, _write_checksum, _read_checksum, may_be_cut=True),
)
"""All sections in the order of the file; which of them a file has follows from its header."""
