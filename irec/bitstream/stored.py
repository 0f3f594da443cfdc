"""What sections hold that no model made: alpha, metadata, images stored whole.

Alpha is filtered like PNG, then raw deflate: without zlib's own header and checksum. Metadata are
three lengths (varints; 0 for none) and the bytes, raw deflate. What is stored whole begins with a
byte that says how: 0 the values, row by row; 1 the bitstream of lossless WebP (RFC 9649, section 3)
without its container; 2 a PNG; the smallest is taken.
"""

import io
import struct
import zlib

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from irec.bitstream.bits import BitReader, BitWriter
from irec.errors import CorruptFileError, TruncatedFileError, UnsupportedImageError
from irec.images import as_pillow
from irec.metadata import Metadata

_N_FILTERS = 3
_RAW_DEFLATE = -15


def compress_alpha(plane: UInt8[np.ndarray, "h w"]) -> bytes:
    """Return one byte that names the filter of the plane, then raw deflate data."""
    candidates = (
        bytes([kind]) + _deflated(_filter(plane, kind).tobytes()) for kind in range(_N_FILTERS)
    )
    return min(candidates, key=len)


def decompress_alpha(data: bytes, height: int, width: int) -> UInt8[np.ndarray, "h w"]:
    """Undo ``compress_alpha``; never inflates more than a plane of `height` x `width` pixels.

    Raises:
        TruncatedFileError: The data end before the plane does.
        CorruptFileError: The data are damaged or hold another plane.
    """
    if not data:
        raise TruncatedFileError("the alpha section is empty")
    if data[0] >= _N_FILTERS:
        raise CorruptFileError(f"the alpha plane names filter {data[0]}, which does not exist")
    plane = _inflated(data[1:], height * width, "the alpha plane")
    if len(plane) != height * width:
        raise CorruptFileError("the alpha section does not hold exactly one alpha plane")
    return _unfilter(np.frombuffer(plane, dtype=np.uint8).reshape(height, width), data[0])


def _filter(plane: UInt8[np.ndarray, "h w"], kind: int) -> UInt8[np.ndarray, "h w"]:
    """Kind 0: as it is. 1: minus the left neighbour. 2: minus the upper one. Modulo 256."""
    if kind == 0:
        return plane
    return np.diff(plane, axis=2 - kind, prepend=np.uint8(0))


def _unfilter(residual: UInt8[np.ndarray, "h w"], kind: int) -> UInt8[np.ndarray, "h w"]:
    if kind == 0:
        return residual.copy()
    return np.cumsum(residual, axis=2 - kind, dtype=np.uint8)


MAX_METADATA_BYTES = 1 << 24


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
    return _deflated(data)


def decompress_metadata(data: bytes) -> Metadata:
    """Undo ``compress_metadata``; never inflates more than the largest that is written.

    Raises:
        BitstreamError: The data are damaged.
    """
    reader = BitReader(_inflated(data, MAX_METADATA_BYTES, "the section of metadata"))
    lengths = [reader.read_varint() for _ in range(3)]
    parts = [reader.read_bytes(length) or None for length in lengths]
    if reader.bits_left or not any(parts):
        raise CorruptFileError("the metadata section does not hold exactly one set of metadata")
    return Metadata(*parts)


def _deflated(data: bytes) -> bytes:
    deflate = zlib.compressobj(level=9, wbits=_RAW_DEFLATE)
    return deflate.compress(data) + deflate.flush()


def _inflated(data: bytes, max_bytes: int, what: str) -> bytes:
    """Undo :func:`_deflated`; never inflates more than a byte beyond `max_bytes`."""
    inflate = zlib.decompressobj(wbits=_RAW_DEFLATE)
    try:
        # One byte more than fits tells longer data from such as end where they should.
        found = inflate.decompress(data, max_bytes + 1)
    except zlib.error as error:
        raise CorruptFileError(f"{what} is damaged: {error}") from error
    if len(found) > max_bytes:
        raise CorruptFileError(f"{what} holds more than {max_bytes:,} bytes")
    if not inflate.eof:
        raise TruncatedFileError(f"{what} ends early")
    if inflate.unused_data:
        raise CorruptFileError(f"{what} is followed by {len(inflate.unused_data)} bytes")
    return found


_RAW, _WEBP, _PNG = 0, 1, 2
# Of lossless WebP: 14 bits a side.
_MAX_WEBP_SIDE = 1 << 14
_VP8L_SIGNATURE = 0x2F
_RIFF_BYTES = 20


def store(pixels: UInt8[np.ndarray, "h w c"]) -> bytes:
    """Compress an image without a model; at most one byte longer than its values."""
    height, width, n_channels = pixels.shape
    image = as_pillow(pixels)
    candidates = [bytes([_RAW]) + pixels.tobytes()]
    if max(height, width) <= _MAX_WEBP_SIDE:
        colour = image.convert("RGBA" if n_channels in (2, 4) else "RGB")
        data = _saved(colour, "WEBP", lossless=True, exact=True, quality=100, method=4)
        length = int.from_bytes(data[16:20], "little")
        if data[12:16] == b"VP8L" and len(data) in (_RIFF_BYTES + length, 21 + length):
            candidates.append(bytes([_WEBP]) + data[_RIFF_BYTES : _RIFF_BYTES + length])
    candidates.append(bytes([_PNG]) + _saved(image, "PNG", optimize=True))
    return min(candidates, key=len)


def load_stored(
    data: bytes, height: int, width: int, n_channels: int
) -> UInt8[np.ndarray, "h w c"]:
    """Undo ``store``; no image of another size is decoded. Alpha is one of the channels.

    Raises:
        CorruptFileError: The data are damaged or hold another image.
    """
    kind, body, shape = data[:1], data[1:], (height, width, n_channels)
    if kind == bytes([_RAW]) and len(body) == height * width * n_channels:
        return np.frombuffer(body, np.uint8).reshape(shape).copy()
    if kind == bytes([_WEBP]) and _size_of_webp(body) == (width, height):
        return _loaded(_in_riff(body), "WEBP", shape)
    if kind == bytes([_PNG]):
        return _loaded(body, "PNG", shape)
    raise CorruptFileError("the stored image is damaged or of another size")


def _loaded(data: bytes, file_format: str, shape: tuple[int, int, int]) -> np.ndarray:
    height, width, n_channels = shape
    try:
        with Image.open(io.BytesIO(data), formats=[file_format]) as image:
            if image.size != (width, height):
                raise CorruptFileError("the stored image is of another size")
            # WebP has no greyscale, and leaves out alpha that is 255 everywhere.
            pixels = np.array(image.convert({1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[n_channels]))
    except CorruptFileError:
        raise
    # Pillow's plugins meet damage with whatever their parsing runs into.
    except Exception as error:
        raise CorruptFileError(f"the stored image is damaged: {error}") from error
    return pixels.reshape(shape)


def _saved(image: Image.Image, file_format: str, **settings: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **settings)
    return buffer.getvalue()


def _size_of_webp(bitstream: bytes) -> tuple[int, int] | None:
    """Width and height: 14 bits each, least significant first, after the signature."""
    if len(bitstream) < 5 or bitstream[0] != _VP8L_SIGNATURE:
        return None
    bits = int.from_bytes(bitstream[1:5], "little")
    return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)


def _in_riff(bitstream: bytes) -> bytes:
    padded = bitstream + bytes(len(bitstream) % 2)
    chunk = b"VP8L" + struct.pack("<I", len(bitstream)) + padded
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk
