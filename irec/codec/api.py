"""The functions that most people need: an image in, bytes out, and back."""

import functools
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from irec.bitstream import STORED, Profile, read_header
from irec.codec.arguments import (
    checked_bytes,
    checked_checkpoint,
    checked_device,
    checked_number,
)
from irec.codec.base import Codec
from irec.codec.encoded import Encoded, FileDescription
from irec.codec.stored import StoredCodec
from irec.coding import SearchSettings
from irec.defaults import DEFAULT_CHECKPOINT, DEFAULT_EFFORT, DEFAULT_LOSSY_CHECKPOINT
from irec.errors import CheckpointError, InvalidParameterError
from irec.images import DEFAULT_MAX_PIXELS, check_size, from_any
from irec.metadata import Metadata
from irec.models.checkpoint import Checkpoint
from irec.models.lossy_model import LossyModel
from irec.models.registry import kind_of
from irec.models.zoo import find_checkpoint, load_checkpoint

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

# Below so few bits per dimension only flat and drawn images are coded, and the model of photographs
# need not be tried. Measured by benchmarks/store_or_model.py: it is the better from 0.090 on.
_OUT_OF_REACH_BPD = 0.06


def compress(
    image: "np.ndarray | Image | Tensor",
    *,
    lossy: bool = False,
    quality: float | int | None = None,
    target_bpp: float | int | None = None,
    target_psnr: float | int | None = None,
    effort: int = DEFAULT_EFFORT,
    checkpoint: str | None = None,
    verify: bool = True,
    device: str = "cpu",
    metadata: Metadata | None = None,
    model_only: bool = False,
) -> bytes:
    """Compress an image, without loss unless `lossy`.

    Args:
        image: 8-bit image: an array [h, w] or [h, w, c], a tensor [h, w] or [c, h, w], or a Pillow
            image; grey, grey with alpha, RGB or RGBA.
        lossy: Whether colours may change; alpha never does.
        quality: Lossy only: 0 (smallest files) to 100 (best images), in steps of 0.5; 50
            where neither it nor a target is given.
        target_bpp: Lossy only: the best quality whose file has at most so many bits per pixel.
        target_psnr: Lossy only: the lowest quality whose PSNR is so many dB or more.
        effort: How hard to search, 1 (fastest) to 9 (smallest); each level doubles the time.
        checkpoint: Name of an installed checkpoint, or path of a checkpoint folder; by default
            rvae-photo, or transform-vae-photo where `lossy`.
        verify: Decode the result and compare before returning it.
        device: Where to compute, such as "cpu" or "cuda".
        metadata: Colour profile, EXIF and XMP to keep beside the pixels; see `read_metadata`.
        model_only: Whether the model codes a lossless file even where lossless WebP, PNG or the
            bare values take fewer bytes, as they do for line art and for noise.

    Returns:
        The bytes of an ``.irec`` file.

    Raises:
        UnsupportedImageError: The image is of another kind.
        CheckpointError: There is no such checkpoint, or it is of the other kind.
        InvalidParameterError: Effort, quality or target are out of range, or contradict each other.
    """
    n_given = sum(value is not None for value in (quality, target_bpp, target_psnr))
    if n_given and not lossy:
        raise InvalidParameterError(
            "quality, target_bpp and target_psnr are for lossy compression: say lossy"
        )
    if n_given > 1:
        raise InvalidParameterError("quality, target_bpp and target_psnr exclude each other")
    quality = checked_number(quality, "quality")
    target_bpp = checked_number(target_bpp, "target_bpp")
    target_psnr = checked_number(target_psnr, "target_psnr")
    SearchSettings.from_effort(effort)  # names a wrong one
    pixels = from_any(image)
    codec = load_codec(
        checked_checkpoint(checkpoint),
        lossy=lossy,
        effort=int(effort),
        verify=verify,
        device=str(checked_device(device)),
    )
    return compress_with(
        codec,
        pixels,
        quality,
        target_bpp,
        target_psnr,
        metadata=metadata or Metadata(),
        model_only=model_only,
    ).data


def compress_with(
    codec: Codec,
    pixels: UInt8[np.ndarray, "h w c"],
    quality: float | None = None,
    target_bpp: float | None = None,
    target_psnr: float | None = None,
    *,
    metadata: Metadata,
    model_only: bool,
) -> Encoded:
    """Do what :func:`compress` does once its codec is there; arguments and errors as there."""
    if target_bpp is not None:
        encoded = codec.encode_within(pixels, target_bpp)
    elif target_psnr is not None:
        encoded = codec.encode_reaching(pixels, target_psnr)
    elif codec.profile.is_lossy or model_only:
        encoded = codec.encode(pixels, quality)
    else:
        encoded = _smallest(codec, pixels, quality)
    keeper = StoredCodec() if is_stored(encoded.data) else codec
    return keeper.attach(encoded, metadata)


def _smallest(codec: Codec, pixels: UInt8[np.ndarray, "h w c"], quality: float | None) -> Encoded:
    """Return the model's file, or one without a model where that is smaller."""
    stored = StoredCodec(verify=codec.verify).encode(pixels)
    if quality is None and stored.file_bits < _OUT_OF_REACH_BPD * pixels.size:
        return stored
    encoded = codec.encode(pixels, quality)
    return min(encoded, stored, key=lambda found: len(found.data))


def decompress(
    data: bytes,
    *,
    allow_truncated: bool = False,
    checkpoint: str | None = None,
    device: str = "cpu",
    max_pixels: int | None = DEFAULT_MAX_PIXELS,
) -> UInt8[np.ndarray, "h w c"]:
    """Decompress an ``.irec`` file.

    Args:
        data: The whole file.
        allow_truncated: Whether a lossy file may lack its end: the picture is then as good as what
            is left, and damage to that goes unnoticed.
        checkpoint: Name or path of the checkpoint; found by the file's fingerprint where None.
        device: Where to compute.
        max_pixels: Larger images are refused before any work, which grows with the pixels however
            short a file is; sides of lossy images count as multiples of 64, as the model sees them.
            None for no limit.

    Returns:
        The image, uint8 [h, w, c] with c = 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGBA).

    Raises:
        BitstreamError: The bytes are damaged, foreign, or need another model or irec.
        CheckpointError: There is no such checkpoint.
        UnsupportedImageError: The image has more than `max_pixels`.
    """
    data = checked_bytes(data)
    header = read_header(data)
    multiple = multiple_of(header.profile)
    check_size(header.width, header.height, max_pixels, "the file's image", multiple)
    codec = codec_for(
        data, checkpoint=checked_checkpoint(checkpoint), device=str(checked_device(device))
    )
    return codec.decode(data, allow_truncated)


def describe(data: bytes, checkpoint: str | None = None) -> FileDescription:
    """Read what a file holds; pixels are decoded only where nothing else tells its end.

    Arguments and errors as for :func:`decompress`.
    """
    return codec_for(data, checkpoint=checkpoint).describe(data)


def multiple_of(profile: Profile) -> int:
    """Return of what sides count as multiples where time and memory are bounded.

    A lossy model sees all of an image at once, padded; other images are cut into tiles.
    """
    return LossyModel.stride if profile.is_lossy else 1


def is_stored(data: bytes) -> bool:
    """Whether a file was made without a model; raises BitstreamError where there is no header."""
    return read_header(data).profile == STORED


@functools.lru_cache(maxsize=4)
def load_codec(
    checkpoint: str | None = None,
    *,
    lossy: bool = False,
    effort: int = DEFAULT_EFFORT,
    verify: bool = True,
    device: str = "cpu",
) -> Codec:
    """Return the codec that :func:`compress` compresses with; arguments and errors as there."""
    default = DEFAULT_LOSSY_CHECKPOINT if lossy else DEFAULT_CHECKPOINT
    found = load_checkpoint(checkpoint or default)
    codec = make_codec(found, effort=effort, verify=verify, device=device)
    if codec.profile.is_lossy != lossy:
        raise CheckpointError(
            f"{found.name} is a lossless model; --lossy needs a lossy one"
            if lossy
            else f"{found.name} is a lossy model: compress --lossy takes it"
        )
    return codec


def codec_for(data: bytes, *, checkpoint: str | None = None, device: str = "cpu") -> Codec:
    """Return the codec that decodes a file; arguments and errors as for :func:`decompress`."""
    if is_stored(data):
        return StoredCodec()
    return _decoder(read_header(data).fingerprint, checkpoint, device)


def make_codec(checkpoint: Checkpoint, **options: object) -> Codec:
    """Return the codec of a checkpoint's kind of model.

    Args:
        checkpoint: The model.
        options: Of the codec's class, such as `effort`, `seed`, `verify` and `device`.
    """
    codec: Codec = kind_of(checkpoint.model.config).resolve_codec()(checkpoint, **options)
    return codec


@functools.lru_cache(maxsize=4)
def _decoder(fingerprint: bytes, checkpoint: str | None, device: str) -> Codec:
    found = find_checkpoint(fingerprint) if checkpoint is None else load_checkpoint(checkpoint)
    return make_codec(found, device=device)
