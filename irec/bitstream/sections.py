"""The sections of a file after its header: how each is written and read.

In which order they come and what they hold stands in :mod:`irec.bitstream.container`. A new section
is a class here and its place in :data:`SECTIONS`; its size, its share in ``irec inspect`` and the
checksum over it come by themselves.
"""

import zlib

import numpy as np
import torch

from irec.bitstream.bits import BitReader, BitWriter
from irec.bitstream.grid import N_OFFSETS
from irec.bitstream.header import Header
from irec.bitstream.side_info import read_side_info, write_side_info
from irec.bitstream.stream import Bitstream, Section, TileCode, TilePlan
from irec.coding import TensorCode
from irec.errors import CorruptFileError, InvalidParameterError, TruncatedFileError

CHECKSUM_BYTES = 4
PIXELS_PER_BYTE = 1 << 16
# Deflate cannot expand further than this.
_MAX_DEFLATE_RATIO = 1032


class _Counted(Section):
    """Whole bytes that a field of the stream holds, their number before them."""

    def write(self, writer: BitWriter, stream: Bitstream, plan: TilePlan) -> None:
        """Length, and the bytes."""
        data = getattr(stream, self.name)
        if data is None:
            raise InvalidParameterError(f"no {self.name}, where the header says that there is some")
        writer.write_varint(len(data))
        writer.write_bytes(data)

    def read(self, reader: BitReader, stream: Bitstream, plan: TilePlan) -> None:
        """Leave them compressed."""
        setattr(stream, self.name, reader.read_bytes(reader.read_varint()))


class Metadata(_Counted):
    """Colour profile, EXIF and XMP (:mod:`irec.bitstream.stored`)."""

    name = "metadata"

    def belongs(self, header: Header) -> bool:
        """Only where the header says so."""
        return header.has_metadata


class Stored(_Counted):
    """The image as another format has it (:mod:`irec.bitstream.stored`)."""

    name = "stored"

    def belongs(self, header: Header) -> bool:
        """Only where no model had a part in the file."""
        return not header.profile.has_model


class Alpha(_Counted):
    """The alpha plane (:mod:`irec.bitstream.stored`)."""

    name = "alpha"

    def belongs(self, header: Header) -> bool:
        """Only where the colour has alpha; what is stored holds its own."""
        return header.colour.has_alpha and header.profile.has_model

    def read(self, reader: BitReader, stream: Bitstream, plan: TilePlan) -> None:
        """Refuses fewer bytes than can hold such a plane."""
        super().read(reader, stream, plan)
        n_bytes = len(stream.alpha or b"")
        if stream.header.height * stream.header.width > _MAX_DEFLATE_RATIO * n_bytes:
            raise CorruptFileError(f"{n_bytes} bytes cannot hold the image's alpha plane")


class _OfModel(Section):
    """A section of files in which a model had a part."""

    def belongs(self, header: Header) -> bool:
        """Only where a model had a part in the file."""
        return header.profile.has_model


class SideInfo(_OfModel):
    """Of each tile the grid offset (lossless), of each tensor the number of steps and the rho."""

    name = "side_info"

    def write(self, writer: BitWriter, stream: Bitstream, plan: TilePlan) -> None:
        """Tile by tile (:mod:`irec.bitstream.side_info`)."""
        if len(stream.tiles) != len(plan.tile_pixels):
            raise InvalidParameterError(
                f"{len(stream.tiles)} tiles, {len(plan.tile_pixels)} planned"
            )
        has_offset = stream.header.profile.has_residual
        for tile, tile_pixels in zip(stream.tiles, plan.tile_pixels, strict=True):
            if not 0 <= tile.grid_offset < (N_OFFSETS if has_offset else 1):
                raise InvalidParameterError(f"grid offset {tile.grid_offset} is out of range")
            if has_offset:
                writer.write_rice(tile.grid_offset, 0)
            numbers = [(tensor.n_steps, tensor.rho_index) for tensor in tile.tensors]
            write_side_info(writer, numbers, plan.side_info, tile_pixels)

    def read(self, reader: BitReader, stream: Bitstream, plan: TilePlan) -> None:
        """Give tiles whose tensors have no indices yet."""
        none = torch.zeros(0, dtype=torch.int64)
        for tile_pixels in plan.tile_pixels:
            grid_offset = reader.read_rice(0) if stream.header.profile.has_residual else 0
            if grid_offset >= N_OFFSETS:
                raise CorruptFileError(f"the file claims grid offset {grid_offset}")
            numbers = read_side_info(reader, plan.side_info, tile_pixels)
            tensors = [TensorCode(n_steps, rho_index, none) for n_steps, rho_index in numbers]
            stream.tiles.append(TileCode(tensors, grid_offset))


class Indices(_OfModel):
    """One index for each step, log2 M bits each, tile by tile."""

    name = "indices"
    may_be_cut = True

    def write(self, writer: BitWriter, stream: Bitstream, plan: TilePlan) -> None:
        """In the plan's order."""
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

    def read(self, reader: BitReader, stream: Bitstream, plan: TilePlan) -> None:
        """Read as many as there are; TruncatedFileError, once these are read, where some lack."""
        width = stream.header.profile.coder.bits_per_step
        n_claimed = sum(tensor.n_steps for tile in stream.tiles for tensor in tile.tensors)
        n_missing = n_claimed - min(n_claimed, reader.bits_left // width)
        stream.tiles = [
            TileCode(self._read_tile(reader, tile.tensors, plan, width), tile.grid_offset)
            for tile in stream.tiles
        ]
        if n_missing:
            raise TruncatedFileError(
                f"the file ends early: it lacks {n_missing} of {n_claimed} indices"
            )

    @staticmethod
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


class Padding(_OfModel):
    """Zero bits up to a whole byte."""

    name = "padding"
    may_be_cut = True

    def write(self, writer: BitWriter, stream: Bitstream, plan: TilePlan) -> None:
        """Write 0 to 7 bits."""
        writer.align()

    def read(self, reader: BitReader, stream: Bitstream, plan: TilePlan) -> None:
        """Refuses bits that are not zero."""
        reader.align()


class Residual(Section):
    """The pixels' range-coded stream (:mod:`irec.bitstream.residual`), all tiles in one."""

    name = "residual"

    def belongs(self, header: Header) -> bool:
        """Only where pixels come back exactly."""
        return header.profile.has_residual

    def write(self, writer: BitWriter, stream: Bitstream, plan: TilePlan) -> None:
        """Of all but small images their number first."""
        if stream.header.tells_length:
            writer.write_varint(len(stream.residual))
        writer.write_bytes(stream.residual)

    def read(self, reader: BitReader, stream: Bitstream, plan: TilePlan) -> None:
        """Of a small image all but the checksum."""
        claimed = reader.read_varint() if stream.header.tells_length else 0
        n_left = reader.bits_left // 8 - CHECKSUM_BYTES
        if n_left < claimed:
            raise TruncatedFileError(
                f"the file ends early: it lacks {claimed - n_left} bytes of its pixels and checksum"
            )
        stream.residual = reader.read_bytes(claimed if stream.header.tells_length else n_left)


class Filler(Section):
    """Zero bytes, so that no file of a few bytes keeps a reader busy for hours."""

    name = "filler"
    may_be_cut = True

    def write(self, writer: BitWriter, stream: Bitstream, plan: TilePlan) -> None:
        """As many as the file lacks."""
        writer.write_bytes(bytes(self._n_bytes(writer.n_bits, stream.header)))

    def read(self, reader: BitReader, stream: Bitstream, plan: TilePlan) -> None:
        """Refuses bytes that are not zero."""
        if any(reader.read_bytes(self._n_bytes(reader.position, stream.header))):
            raise CorruptFileError("the filling bytes are not zero")

    @staticmethod
    def _n_bytes(n_bits_before: int, header: Header) -> int:
        return max(0, min_file_bytes(header) - n_bits_before // 8 - CHECKSUM_BYTES)


class Checksum(Section):
    """CRC32 of all bytes before it, exclusive or that of the pixels of a lossless file."""

    name = "checksum"
    may_be_cut = True

    def write(self, writer: BitWriter, stream: Bitstream, plan: TilePlan) -> None:
        """Covers everything written so far."""
        checksum = zlib.crc32(writer.to_bytes()) ^ stream.pixel_checksum
        writer.write_bytes(checksum.to_bytes(CHECKSUM_BYTES, "little"))

    def read(self, reader: BitReader, stream: Bitstream, plan: TilePlan) -> None:
        """Leaves the pixels' part, if there is one, to whoever decodes them."""
        checksum = zlib.crc32(reader.bytes_read())
        checksum ^= int.from_bytes(reader.read_bytes(CHECKSUM_BYTES), "little")
        if checksum and not stream.header.profile.has_residual:
            raise CorruptFileError("the file is damaged: it does not match its checksum")
        stream.pixel_checksum = checksum


SECTIONS: tuple[Section, ...] = (
    Metadata(),
    Stored(),
    Alpha(),
    SideInfo(),
    Indices(),
    Padding(),
    Residual(),
    Filler(),
    Checksum(),
)
"""All sections in the order of the file; which of them a file has follows from its header."""


def min_file_bytes(header: Header) -> int:
    """Return the least length of a file: one byte for each 2^16 pixels."""
    return -(-header.height * header.width // PIXELS_PER_BYTE)
