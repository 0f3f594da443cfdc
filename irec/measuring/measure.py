"""Images to files, decode-verified, with all figures: one row of the table for each file."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8

from irec.codec import Codec, Encoded, Ideal
from irec.datamodules.batches import FailedImage, NamedImage
from irec.errors import IrecError, ran_out_of_memory
from irec.evaluation.codecs import png_bytes, webp_bytes
from irec.evaluation.results import ImageResult, LossyResult
from irec.images import psnr_db, without_alpha
from irec.measuring.compression import CompressedBatch, CompressedImage
from irec.metrics.ms_ssim import ms_ssim


def measure(
    codec: Codec,
    images: Sequence[NamedImage],
    qualities: Sequence[float | None],
    ideal_samples: int,
) -> CompressedBatch:
    """Compress images, decode each file by itself, and compare; one that fails harms no other.

    Args:
        codec: Without `verify`: both directions are timed here.
        images: A batch.
        qualities: That each image is compressed at.
        ideal_samples: Posterior samples over which the ideal is averaged.
    """
    # Lightning's precision is for training; files are made in the codec's own.
    with torch.autocast(codec.device.type, enabled=False):
        one_by_one = [[image] for image in images]
        if codec.profile.is_lossy:
            return _each(
                one_by_one,
                lambda one: [
                    _lossy(codec, one[0], quality, ideal_samples) for quality in qualities
                ],
            )
        done = _each([images], lambda batch: _lossless(codec, batch, ideal_samples))
        if not done.failures or len(images) == 1:
            return done
        # What failed together is tried again.
        return _each(one_by_one, lambda one: _lossless(codec, one, ideal_samples))


def _each(
    batches: Sequence[Sequence[NamedImage]],
    work: Callable[[Sequence[NamedImage]], list[CompressedImage]],
) -> CompressedBatch:
    """Do all batches; where one fails, its images are listed as failures."""
    done = CompressedBatch()
    for batch in batches:
        try:
            done.images.extend(work(batch))
        except (IrecError, MemoryError, RuntimeError) as error:
            reason = _reason(error)
            done.failures.extend(FailedImage(image.name, reason) for image in batch)
    return done


def _reason(error: Exception) -> str:
    """One line for a failure that is nobody's mistake; raises what is a defect."""
    if isinstance(error, IrecError):
        return str(error)
    if ran_out_of_memory(error):
        return "out of memory"
    raise error


def _lossless(
    codec: Codec, images: Sequence[NamedImage], ideal_samples: int
) -> list[CompressedImage]:
    pixels = [image.pixels for image in images]
    start = time.perf_counter()
    encoded = codec.encode_batch(pixels)
    batch_s = time.perf_counter() - start
    n_values = sum(one.size for one in pixels)
    ideal = codec.ideal_batch(pixels, n_samples=ideal_samples, encoded=encoded)
    done = []
    for image, one, bits in zip(images, encoded, ideal, strict=True):
        webp = webp_bytes(image.pixels)
        row = ImageResult(
            **_shared(codec, image, one, image.pixels, batch_s * image.pixels.size / n_values),
            channels=image.pixels.shape[2],
            ideal_bits=bits.total_bits,
            kl_bits=bits.kl_bits,
            residual_bits=one.residual_bits,
            png_bits=8 * len(png_bytes(image.pixels)),
            webp_bits=None if webp is None else 8 * len(webp),
        )
        done.append(CompressedImage(one.data, row, image.pixels))
    return done


def _lossy(
    codec: Codec, image: NamedImage, quality: float | None, ideal_samples: int
) -> CompressedImage:
    start = time.perf_counter()
    encoded = codec.encode(image.pixels, quality)
    encode_s = time.perf_counter() - start
    shared = _shared(codec, image, encoded, encoded.pixels, encode_s)
    # Alpha is exact anyway.
    original, decoded = without_alpha(image.pixels), without_alpha(encoded.pixels)
    ideal = codec.ideal(image.pixels, quality, ideal_samples, encoded=encoded)
    ideal_psnr, ideal_similarity = _mean_distance(original, ideal)
    row = LossyResult(
        **shared,
        channels=original.shape[2],
        quality=encoded.quality,
        trade_off=codec.describe(encoded.data).trade_off or 0.0,
        ideal_bits=ideal.kl_bits,
        psnr_db=psnr_db(original, decoded),
        ms_ssim=ms_ssim(original, decoded),
        ideal_psnr_db=ideal_psnr,
        ideal_ms_ssim=ideal_similarity,
    )
    return CompressedImage(encoded.data, row, image.pixels)


def _shared(
    codec: Codec,
    image: NamedImage,
    encoded: Encoded,
    expected: UInt8[np.ndarray, "h w c"],
    encode_s: float,
) -> dict[str, Any]:
    """Return what all rows hold; raises IrecError where a file decodes to something else."""
    start = time.perf_counter()
    decoded = codec.decode(encoded.data)
    decode_s = time.perf_counter() - start
    if not np.array_equal(decoded, expected):
        raise IrecError(f"{image.name}: its file decodes to another image; please report this")
    return {
        "name": image.name,
        "height": image.pixels.shape[0],
        "width": image.pixels.shape[1],
        "file_bits": encoded.file_bits,
        "index_bits": encoded.index_bits,
        "side_bits": encoded.side_bits,
        "encode_s": encode_s,
        "decode_s": decode_s,
    }


def _mean_distance(
    original: UInt8[np.ndarray, "h w c"], ideal: Ideal
) -> tuple[float, float | None]:
    """PSNR and MS-SSIM of exact posterior samples, averaged."""
    samples = [without_alpha(pixels) for pixels in ideal.pixels]
    similarities = [ms_ssim(original, sample) for sample in samples]
    known = [similarity for similarity in similarities if similarity is not None]
    return (
        float(np.mean([psnr_db(original, sample) for sample in samples])),
        float(np.mean(known)) if known else None,
    )
