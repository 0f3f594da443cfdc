"""The lossy loop's step: an image to a file at each quality, decoded, compared, measured."""

import time
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

from irec.codec import Codec, LossyCodec
from irec.datamodules.batches import FailedImage, NamedImage
from irec.errors import IrecError
from irec.evaluation.results import LossyResult
from irec.lightning_modules.compression import CompressedBatch, CompressedImage
from irec.metrics.quality import ms_ssim, psnr_db


def compress_at_qualities(
    codec: LossyCodec,
    images: Sequence[NamedImage],
    qualities: Sequence[float | None],
    ideal_samples: int,
) -> CompressedBatch:
    """Compress each image by itself; one that fails keeps none of the others back.

    Args:
        codec: without `verify`: this function verifies, so that it can time both directions.
        images: a batch.
        qualities: that each image is compressed at.
        ideal_samples: as for :class:`CoderOptions`.
    """
    made, failures = [], []
    for image in images:
        try:
            made += [_compress(codec, image, quality, ideal_samples) for quality in qualities]
        except (IrecError, MemoryError) as error:
            failures.append(FailedImage(image.name, str(error) or "out of memory"))
    return CompressedBatch(made, failures)


def _compress(
    codec: LossyCodec, image: NamedImage, quality: float | None, ideal_samples: int
) -> CompressedImage:
    start = time.perf_counter()
    encoded = codec.encode(image.pixels, quality)
    encoded_at = time.perf_counter()
    decoded = codec.decode(encoded.data)
    decoded_at = time.perf_counter()
    if not np.array_equal(decoded, encoded.pixels):
        raise IrecError(f"{image.name}: its file decodes to another image; please report this")
    original = _colour(image.pixels)
    psnr, similarity = _distance(original, _colour(decoded))
    kl_bits, ideal_psnr, ideal_similarity = _ideal(codec, image.pixels, quality, ideal_samples)
    height, width, channels = original.shape
    result = LossyResult(
        name=image.name,
        quality=encoded.quality,
        lagrangian=codec.qualities.lambda_of(codec.qualities.index_of(quality)),
        height=height,
        width=width,
        channels=channels,
        file_bits=encoded.file_bits,
        ideal_bits=kl_bits,
        index_bits=encoded.index_bits,
        side_bits=encoded.side_bits,
        psnr_db=psnr,
        ms_ssim=similarity,
        ideal_psnr_db=ideal_psnr,
        ideal_ms_ssim=ideal_similarity,
        encode_s=encoded_at - start,
        decode_s=decoded_at - encoded_at,
    )
    return CompressedImage(encoded.data, result, image.pixels)


def _ideal(
    codec: Codec, pixels: np.ndarray, quality: float | None, n_samples: int
) -> tuple[float, float, float | None]:
    """KL in bits, PSNR and MS-SSIM of exact posterior samples, averaged."""
    original = _colour(pixels)
    ideal = codec.ideal(pixels, quality, n_samples)
    distances = [_distance(original, _colour(sample)) for sample in ideal.pixels]
    similarities = [similarity for _, similarity in distances if similarity is not None]
    return (
        ideal.kl_bits,
        float(np.mean([psnr for psnr, _ in distances])),
        float(np.mean(similarities)) if similarities else None,
    )


def _distance(original: np.ndarray, decoded: np.ndarray) -> tuple[float, float | None]:
    return psnr_db(original, decoded), ms_ssim(original, decoded)


def _colour(pixels: UInt8[np.ndarray, "h w _c"]) -> UInt8[np.ndarray, "h w c"]:
    """An image without its alpha, which is exact anyway."""
    return pixels[:, :, : 1 if pixels.shape[2] <= 2 else 3]
