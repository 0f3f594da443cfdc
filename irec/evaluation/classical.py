"""What PNG and WebP take for the same image, without loss and at their strongest settings."""

import io
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

# The format's limit on height and width.
WEBP_MAX_SIDE = 16383


def png_bytes(pixels: UInt8[np.ndarray, "h w c"]) -> bytes:
    """Return a PNG file.

    Args:
        pixels: uint8 [h, w, c], c of 1 to 4.
    """
    return _encode(pixels, "PNG", optimize=True)


def webp_bytes(pixels: UInt8[np.ndarray, "h w c"]) -> bytes | None:
    """Return a lossless WebP file.

    Args:
        pixels: uint8 [h, w, c], c of 1 to 4. WebP knows no greyscale: grey values are repeated,
            which its prediction of colours from one another makes nearly free.

    Returns:
        The file, or None for images of more than 16,383 pixels height or width.
    """
    if max(pixels.shape[:2]) > WEBP_MAX_SIDE:
        return None
    if pixels.shape[2] <= 2:
        pixels = pixels[:, :, [0, 0, 0, 1][: pixels.shape[2] + 2]]
    return _encode(pixels, "WEBP", lossless=True, quality=100, method=6, exact=True)


def png_bits(pixels: UInt8[np.ndarray, "h w c"]) -> int:
    """Bits of :func:`png_bytes`."""
    return 8 * len(png_bytes(pixels))


def webp_bits(pixels: UInt8[np.ndarray, "h w c"]) -> int | None:
    """Bits of :func:`webp_bytes`, or None for images that are too large for WebP."""
    data = webp_bytes(pixels)
    return None if data is None else 8 * len(data)


def _encode(pixels: np.ndarray, file_format: str, **settings: Any) -> bytes:
    buffer = io.BytesIO()
    # Pillow takes one grey channel without its axis only.
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    image.save(buffer, file_format, **settings)
    return buffer.getvalue()
