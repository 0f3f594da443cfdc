"""Metadata of an image: three lengths (varints; 0 for none) and the bytes, raw deflate."""

import zlib

from irec.bitstream.bits import BitReader, BitWriter
from irec.errors import CorruptFileError, TruncatedFileError, UnsupportedImageError
from irec.metadata import Metadata

MAX_METADATA_BYTES = 1 << 24
_RAW_DEFLATE = -15


def compress_metadata(metadata: Metadata) -> bytes:
    """Compress what there is, colour profile first, then EXIF and XMP.

    Raises:
        UnsupportedImageError: It is more than 16 MiB.
    """
    parts = [metadata.icc or b"", metadata.exif or b"", metadata.xmp or b""]
    writer = BitWriter()
    for part in parts:
        writer.write_varint(len(part))
    data = b"".join([writer.to_bytes(), *parts])
    if len(data) > MAX_METADATA_BYTES:
        raise UnsupportedImageError(
            f"{len(data):,} bytes of metadata; a file holds up to {MAX_METADATA_BYTES:,}: leave "
            "them out (--metadata none)"
        )
    deflate = zlib.compressobj(level=9, wbits=_RAW_DEFLATE)
    return deflate.compress(data) + deflate.flush()


def decompress_metadata(data: bytes) -> Metadata:
    """Undo ``compress_metadata``; never inflates more than the largest that is written.

    Raises:
        BitstreamError: The data are damaged.
    """
    inflate = zlib.decompressobj(wbits=_RAW_DEFLATE)
    try:
        plain = inflate.decompress(data, MAX_METADATA_BYTES + 1)
    except zlib.error as error:
        raise CorruptFileError(f"the metadata are damaged: {error}") from error
    if len(plain) > MAX_METADATA_BYTES:
        raise CorruptFileError(f"the file holds more than {MAX_METADATA_BYTES:,} bytes of metadata")
    if not inflate.eof:
        raise TruncatedFileError("the metadata end early")
    reader = BitReader(plain)
    lengths = [reader.read_varint() for _ in range(3)]
    parts = [reader.read_bytes(length) or None for length in lengths]
    if inflate.unused_data or reader.bits_left or not any(parts):
        raise CorruptFileError("the metadata section does not hold exactly one set of metadata")
    return Metadata(*parts)
