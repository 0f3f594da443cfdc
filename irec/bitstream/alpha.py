"""The alpha plane: filtered like PNG, deflated, without zlib's own header and checksum."""

import zlib

import numpy as np
from jaxtyping import UInt8

from irec.errors import CorruptFileError, TruncatedFileError

_N_FILTERS = 3
_RAW_DEFLATE = -15


def compress_alpha(plane: UInt8[np.ndarray, "h w"]) -> bytes:
    """Compresses a plane.

    Args:
        plane: uint8, shape [H, W].

    Returns:
        One byte that names the filter, then raw deflate data.
    """
    candidates = []
    for kind in range(_N_FILTERS):
        deflate = zlib.compressobj(level=9, wbits=_RAW_DEFLATE)
        data = deflate.compress(_filter(plane, kind).tobytes()) + deflate.flush()
        candidates.append(bytes([kind]) + data)
    return min(candidates, key=len)


def decompress_alpha(data: bytes, height: int, width: int) -> UInt8[np.ndarray, "h w"]:
    """Decompresses what ``compress_alpha`` made; never inflates more than the plane's size.

    Args:
        data: The section's bytes.
        height: Pixels.
        width: Pixels.

    Returns:
        The plane, uint8, shape [height, width].

    Raises:
        TruncatedFileError: The data end before the plane does.
        CorruptFileError: The data are damaged or hold another plane.
    """
    if not data:
        raise TruncatedFileError("the alpha section is empty")
    if data[0] >= _N_FILTERS:
        raise CorruptFileError(f"the alpha plane names filter {data[0]}, which does not exist")
    size = height * width
    inflate = zlib.decompressobj(wbits=_RAW_DEFLATE)
    try:
        # One byte more than fits tells a longer plane from one that ends where it should.
        plane = inflate.decompress(data[1:], size + 1)
    except zlib.error as error:
        raise CorruptFileError(f"the alpha plane is damaged: {error}") from error
    if len(plane) <= size and not inflate.eof:
        raise TruncatedFileError("the alpha section ends before the alpha plane does")
    if len(plane) != size or inflate.unused_data:
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
