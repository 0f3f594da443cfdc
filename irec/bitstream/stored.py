"""An image without a model: as lossless WebP, as PNG, or as it is, whatever is smallest.

The first byte says which: 0 the values, row by row; 1 the bitstream of lossless WebP (RFC 9649,
section 3) without its container; 2 a PNG.
"""

import io
import struct

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from irec.errors import CorruptFileError

_RAW, _WEBP, _PNG = 0, 1, 2
# Of lossless WebP: 14 bits a side.
_MAX_WEBP_SIDE = 1 << 14
_VP8L_SIGNATURE = 0x2F
_RIFF_BYTES = 20


def store(pixels: UInt8[np.ndarray, "h w c"]) -> bytes:
    """Compress an image without a model; at most one byte longer than its values."""
    height, width, n_channels = pixels.shape
    image = Image.fromarray(pixels[:, :, 0] if n_channels == 1 else pixels)
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
    """Undo ``store``; no image of another size is decoded.

    Args:
        data: The section's bytes.
        height: Pixels.
        width: Pixels.
        n_channels: Of the image, alpha included.

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
