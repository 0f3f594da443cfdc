"""The lossless loop's step: a batch of images to files, decode-verified, with all figures."""

import time
from collections.abc import Sequence

import numpy as np

from irec.codec import Codec, Encoded, Ideal
from irec.datamodules.batches import FailedImage, NamedImage
from irec.errors import IrecError
from irec.evaluation.classical import png_bits, webp_bits
from irec.evaluation.results import ImageResult
from irec.lightning_modules.compression import CompressedBatch, CompressedImage


def compress_each(
    codec: Codec, images: Sequence[NamedImage], ideal_samples: int
) -> CompressedBatch:
    """As :func:`compress_batch`, but where that fails each image is tried by itself."""
    try:
        return CompressedBatch(compress_batch(codec, images, ideal_samples), [])
    except (IrecError, MemoryError) as error:
        if len(images) == 1:
            reason = str(error) or "out of memory"
            return CompressedBatch([], [FailedImage(images[0].name, reason)])
    parts = [compress_each(codec, [image], ideal_samples) for image in images]
    return CompressedBatch(
        [image for part in parts for image in part.images],
        [failure for part in parts for failure in part.failures],
    )


def compress_batch(
    codec: Codec, images: Sequence[NamedImage], ideal_samples: int
) -> list[CompressedImage]:
    """Compress images together, decode each file by itself, and compare.

    Args:
        codec: without `verify`: this function verifies, so that it can time both directions.
        images: a batch.
        ideal_samples: as for :class:`CoderOptions`.

    Raises:
        IrecError: a file does not give its image back.
    """
    pixels = [image.pixels for image in images]
    start = time.perf_counter()
    encoded = codec.encode_batch(pixels)
    batch_s = time.perf_counter() - start
    n_values = sum(one.size for one in pixels)
    ideal = codec.ideal_batch(pixels, n_samples=ideal_samples)
    return [
        CompressedImage(
            one.data,
            _result(codec, image, one, bits, batch_s * image.pixels.size / n_values),
            image.pixels,
        )
        for image, one, bits in zip(images, encoded, ideal, strict=True)
    ]


def _result(
    codec: Codec,
    image: NamedImage,
    encoded: Encoded,
    ideal: Ideal,
    encode_s: float,
) -> ImageResult:
    start = time.perf_counter()
    decoded = codec.decode(encoded.data)
    decode_s = time.perf_counter() - start
    if not np.array_equal(decoded, image.pixels):
        raise IrecError(f"{image.name}: its file decodes to other pixels; please report this")
    height, width, channels = image.pixels.shape
    return ImageResult(
        name=image.name,
        height=height,
        width=width,
        channels=channels,
        file_bits=encoded.file_bits,
        ideal_bits=ideal.total_bits,
        kl_bits=ideal.kl_bits,
        index_bits=encoded.index_bits,
        side_bits=encoded.side_bits,
        residual_bits=encoded.residual_bits,
        encode_s=encode_s,
        decode_s=decode_s,
        png_bits=png_bits(image.pixels),
        webp_bits=webp_bits(image.pixels),
    )
