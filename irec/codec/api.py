"""The functions that most people need: an image in, bytes out, and back."""

import functools
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from irec.bitstream import read_header
from irec.codec.base import DEFAULT_EFFORT
from irec.codec.lossless import LosslessCodec
from irec.codec.lossy import LossyCodec
from irec.errors import InvalidParameterError
from irec.images import from_any
from irec.models.rvae import RVAE
from irec.models.zoo import (
    DEFAULT_CHECKPOINT,
    DEFAULT_LOSSY_CHECKPOINT,
    find_checkpoint,
    load_checkpoint,
)

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor


def compress(
    image: "np.ndarray | Image | Tensor",
    *,
    lossy: bool = False,
    quality: float | int | None = None,
    target_bpp: float | int | None = None,
    effort: int = DEFAULT_EFFORT,
    checkpoint: str | None = None,
    verify: bool = True,
    device: str = "cpu",
) -> bytes:
    """Compress an image, without loss unless `lossy`.

    Args:
        image: 8-bit image: an array [h, w] or [h, w, c], a tensor [h, w] or [c, h, w], or a Pillow
            image; grey, grey with alpha, RGB or RGBA.
        lossy: whether colours may change; alpha never does.
        quality: lossy only: 0 (smallest files) to 100 (best images), in steps of 0.5; 50
            where neither it nor `target_bpp` is given.
        target_bpp: lossy only: the best quality whose file has at most so many bits per pixel.
        effort: how hard to search, 1 (fastest) to 9 (smallest); each level doubles the time.
        checkpoint: name of an installed checkpoint, or path of a checkpoint folder; by default
            rvae-small, or two-level-vae-small where `lossy`.
        verify: decode the result and compare before returning it.
        device: where to compute, such as "cpu" or "cuda".

    Returns:
        The bytes of an ``.irec`` file.

    Raises:
        UnsupportedImageError: the image is of another kind.
        CheckpointError: there is no such checkpoint, or it is of the other kind.
        InvalidParameterError: effort, quality or target are out of range, or contradict each other.
    """
    if not lossy and not (quality is None and target_bpp is None):
        raise InvalidParameterError("quality and target_bpp are for lossy compression: say lossy")
    if quality is not None and target_bpp is not None:
        raise InvalidParameterError("quality and target_bpp exclude each other")
    pixels = from_any(image)
    codec = encoder(lossy, effort, checkpoint, verify, device)
    if isinstance(codec, LosslessCodec):
        return codec.encode([pixels])[0].data
    if target_bpp is not None:
        return codec.encode_within(pixels, float(target_bpp)).data
    return codec.encode(pixels, None if quality is None else float(quality)).data


def encoder(
    lossy: bool, effort: int, checkpoint: str | None, verify: bool, device: str
) -> LosslessCodec | LossyCodec:
    """The codec that :func:`compress` compresses with; arguments and errors as there."""
    if lossy:
        return _lossy_codec(checkpoint or DEFAULT_LOSSY_CHECKPOINT, effort, verify, device)
    return _lossless_codec(checkpoint or DEFAULT_CHECKPOINT, effort, verify, device)


def decompress(
    data: bytes,
    *,
    allow_truncated: bool = False,
    checkpoint: str | None = None,
    device: str = "cpu",
) -> UInt8[np.ndarray, "h w c"]:
    """Decompress an ``.irec`` file.

    Args:
        data: the whole file.
        allow_truncated: whether a lossy file may lack its end: the picture is then as good as what
            is left, and damage to that goes unnoticed.
        checkpoint: name or path of the checkpoint; found by the file's fingerprint where None.
        device: where to compute.

    Returns:
        The image, uint8 [h, w, c] with c = 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGBA).

    Raises:
        BitstreamError: the bytes are damaged, foreign, or need another model or irec.
        CheckpointError: there is no such checkpoint.
    """
    codec = codec_for(data, checkpoint=checkpoint, device=device)
    if isinstance(codec, LossyCodec):
        return codec.decode(data, allow_truncated)
    return codec.decode(data)


def codec_for(
    data: bytes, *, checkpoint: str | None = None, device: str = "cpu"
) -> LosslessCodec | LossyCodec:
    """The codec that decodes a file; arguments and errors as for :func:`decompress`."""
    return _decoder(read_header(data).fingerprint, checkpoint, device)


@functools.lru_cache(maxsize=4)
def _lossless_codec(name: str, effort: int, verify: bool, device: str) -> LosslessCodec:
    return LosslessCodec(load_checkpoint(name), effort=effort, verify=verify, device=device)


@functools.lru_cache(maxsize=4)
def _lossy_codec(name: str, effort: int, verify: bool, device: str) -> LossyCodec:
    return LossyCodec(load_checkpoint(name), effort=effort, verify=verify, device=device)


@functools.lru_cache(maxsize=4)
def _decoder(fingerprint: bytes, checkpoint: str | None, device: str) -> LosslessCodec | LossyCodec:
    found = find_checkpoint(fingerprint) if checkpoint is None else load_checkpoint(checkpoint)
    if isinstance(found.model, RVAE):
        return LosslessCodec(found, device=device)
    return LossyCodec(found, device=device)
