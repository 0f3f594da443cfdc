"""The ``.irec`` file: one image, and nothing in it that can be derived.

Layout: ``docs/format.md``, from the magic to the checksum; in code ``Header.write`` and, in the
order of the file, :data:`irec.bitstream.sections.SECTIONS`. A usual file of up to 128x128 pixels
spends 12 bytes on header and checksum.

How many tiles and tensors there are follows from the image's size and the model: the caller's
``TilePlan`` says so. All other numbers stand in the profile (irec.bitstream.profile). A lossy file
may be cut off anywhere after its side information: whoever allows that gets the indices that are
left, unchecked. Bytes after the checksum are an error.

Compatibility: pinned files in the tests keep this layout; a change raises ``FORMAT_VERSION``.
"""

import struct
import zlib
from collections.abc import Callable

import numpy as np
from jaxtyping import UInt8

from irec.bitstream.bits import BitReader, BitWriter
from irec.bitstream.header import Header
from irec.bitstream.sections import CHECKSUM_BYTES, SECTIONS, min_file_bytes
from irec.bitstream.stored import decompress_metadata
from irec.bitstream.stream import Bitstream, TilePlan
from irec.errors import CorruptFileError, InvalidParameterError, TruncatedFileError
from irec.metadata import Metadata


def pack(stream: Bitstream, plan: TilePlan) -> bytes:
    """Write a file.

    Args:
        stream: What to write; its `sizes` are set.
        plan: Tiles and tensors that the reader will expect.

    Raises:
        InvalidParameterError: The stream contradicts its header or the plan, or a number is out of
            range.
    """
    header, writer = stream.header, BitWriter()
    if stream.alpha is not None and not header.colour.has_alpha:
        raise InvalidParameterError(f"an alpha plane with colour {header.colour.name}")
    if not header.profile.has_residual and (stream.residual or stream.pixel_checksum):
        raise InvalidParameterError(f"a {header.profile.name} file has no residual")
    header.write(writer)
    stream.sizes = {"header": writer.n_bits}
    for section in SECTIONS:
        if section.belongs(header):
            before = writer.n_bits
            section.write(writer, stream, plan)
            stream.sizes[section.name] = writer.n_bits - before
    return writer.to_bytes()


def unpack(
    data: bytes, plan_for: Callable[[Header], TilePlan], allow_truncated: bool = False
) -> Bitstream:
    """Read a file; time and memory stay proportional to the number of its bytes.

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
    reader = BitReader(data)
    header = Header.read(reader)
    if len(data) < min_file_bytes(header):
        raise TruncatedFileError(
            f"the file ends early: {len(data)} bytes cannot hold the {header.width}x{header.height}"
            " image of its header"
        )
    stream, plan = Bitstream(header, sizes={"header": reader.position}), plan_for(header)
    may_lack = header.profile.is_lossy and allow_truncated
    try:
        _read_sections(reader, stream, plan, may_lack)
    except (TruncatedFileError, CorruptFileError) as error:
        if header.profile.is_lossy and not allow_truncated and not _matches_checksum(data):
            # What is wrong with the first number that makes no sense helps nobody.
            reason = "the file is damaged: it does not match its checksum"
            if isinstance(error, TruncatedFileError):
                reason = (
                    "the file ends early, or its first bytes are damaged; decompress "
                    "--allow-truncated shows what is there"
                )
            raise CorruptFileError(reason) from error
        raise
    if stream.is_whole and reader.bits_left:
        raise CorruptFileError(f"{reader.bits_left // 8} bytes follow the end of the file")
    return stream


def _read_sections(
    reader: BitReader, stream: Bitstream, plan: TilePlan, may_lack_end: bool
) -> None:
    for section in SECTIONS:
        if not section.belongs(stream.header):
            continue
        before = reader.position
        try:
            section.read(reader, stream, plan)
        except TruncatedFileError:
            if may_lack_end and not section.may_be_cut:
                raise TruncatedFileError(
                    f"the file ends in its {section.name}, before the part that decodes as far as "
                    "it goes"
                ) from None
            if not may_lack_end:
                raise
            stream.is_whole = False
            break
        finally:
            stream.sizes[section.name] = reader.position - before


def read_metadata(data: bytes) -> Metadata:
    """Read the colour profile, EXIF and XMP that a file holds; needs no model.

    Raises:
        BitstreamError: The beginning of the file is damaged.
    """
    reader = BitReader(data)
    if not Header.read(reader).has_metadata:
        return Metadata()
    return decompress_metadata(reader.read_bytes(reader.read_varint()))


def shortest_beginning(stream: Bitstream) -> int:
    """How many bytes must be there for ``allow_truncated`` to read a lossy file.

    Args:
        stream: What the whole file holds, from ``unpack``.
    """
    needed = ("header", "metadata", "alpha", "side_info")
    n_bits = sum(stream.sizes.get(name, 0) for name in needed)
    return max(-(-n_bits // 8), min_file_bytes(stream.header))


def pixel_checksum(pixels: UInt8[np.ndarray, "c h w"]) -> int:
    """CRC32 of a whole image, its shape (three 32-bit numbers, little-endian) before it.

    Args:
        pixels: uint8, shape [C, H, W], alpha included as the last channel.
    """
    shape = struct.pack("<3I", *pixels.shape)
    return zlib.crc32(np.ascontiguousarray(pixels).data, zlib.crc32(shape))


def check_pixels(stream: Bitstream, pixels: UInt8[np.ndarray, "c h w"]) -> None:
    """Compare a decoded image with a lossless file's checksum.

    Args:
        stream: What the file holds.
        pixels: uint8, shape [C, H, W], alpha included as the last channel.

    Raises:
        CorruptFileError: The pixels are wrong, or another byte of the file is.
    """
    if pixel_checksum(pixels) != stream.pixel_checksum:
        raise pixel_error(stream.header, "the decoded pixels do not match the checksum")


def pixel_error(header: Header, reason: str) -> CorruptFileError:
    """Say of a lossless file what can be wrong with it, if its pixels are."""
    cause = "the file is damaged"
    if not header.tells_length:
        cause = "the file ends too early, something follows its end, or it is damaged"
    return CorruptFileError(f"{cause}: {reason}")


def _matches_checksum(data: bytes) -> bool:
    found = int.from_bytes(data[-CHECKSUM_BYTES:], "little")
    return zlib.crc32(data[:-CHECKSUM_BYTES]) == found
