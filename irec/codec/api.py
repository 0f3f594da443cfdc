"""The functions that most people need: an image in, bytes out, and back."""

import functools
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from irec.bitstream import read_header
from irec.codec.lossless import DEFAULT_EFFORT, LosslessCodec
from irec.images import from_any
from irec.models.zoo import DEFAULT_CHECKPOINT, find_checkpoint, load_checkpoint

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor


def compress(
    image: "np.ndarray | Image | Tensor",
    *,
    effort: int = DEFAULT_EFFORT,
    checkpoint: str = DEFAULT_CHECKPOINT,
    verify: bool = True,
    device: str = "cpu",
) -> bytes:
    """Compress an image without loss.

    Args:
        image: 8-bit image: an array [h, w] or [h, w, c], a tensor [h, w] or [c, h, w], or a Pillow
            image; grey, grey with alpha, RGB or RGBA.
        effort: how hard to search, 1 (fastest) to 9 (smallest); each level doubles the time.
        checkpoint: name of an installed checkpoint, or path of a checkpoint folder.
        verify: decode the result and compare before returning it.
        device: where to compute, such as "cpu" or "cuda".

    Returns:
        The bytes of an ``.irec`` file.

    Raises:
        UnsupportedImageError: the image is of another kind.
        CheckpointError: there is no such checkpoint.
        InvalidParameterError: the effort is out of range.
    """
    codec = _codec(checkpoint, effort, verify, device)
    return codec.encode([from_any(image)])[0].data


def decompress(
    data: bytes, *, checkpoint: str | None = None, device: str = "cpu"
) -> UInt8[np.ndarray, "h w c"]:
    """Decompress an ``.irec`` file.

    Args:
        data: the whole file.
        checkpoint: name or path of the checkpoint; found by the file's fingerprint where None.
        device: where to compute.

    Returns:
        The image, uint8 [h, w, c] with c = 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGBA).

    Raises:
        BitstreamError: the bytes are damaged, foreign, or need another model or irec.
        CheckpointError: there is no such checkpoint.
    """
    return codec_for(data, checkpoint=checkpoint, device=device).decode(data)


def codec_for(data: bytes, *, checkpoint: str | None = None, device: str = "cpu") -> LosslessCodec:
    """The codec that decodes a file; arguments and errors as for :func:`decompress`."""
    fingerprint = read_header(data).fingerprint
    if checkpoint is None:
        return _codec_of_fingerprint(fingerprint, device)
    return _codec(checkpoint, DEFAULT_EFFORT, True, device)


@functools.lru_cache(maxsize=4)
def _codec(checkpoint: str, effort: int, verify: bool, device: str) -> LosslessCodec:
    return LosslessCodec(load_checkpoint(checkpoint), effort=effort, verify=verify, device=device)


@functools.lru_cache(maxsize=4)
def _codec_of_fingerprint(fingerprint: bytes, device: str) -> LosslessCodec:
    return LosslessCodec(find_checkpoint(fingerprint), device=device)
