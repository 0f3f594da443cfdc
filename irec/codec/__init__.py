"""Image -> bytes -> image; the only place where models, coding and bitstream meet."""

from irec.codec.api import codec_for, compress, decompress, encoder
from irec.codec.base import DEFAULT_EFFORT
from irec.codec.description import FileDescription, describe
from irec.codec.encoded import EncodedImage, IdealBits
from irec.codec.lossless import LosslessCodec
from irec.codec.lossy import IdealImage, LossyCodec, LossyImage
from irec.codec.rates import DEFAULT_QUALITY, nearest_quality

__all__ = [
    "DEFAULT_EFFORT",
    "DEFAULT_QUALITY",
    "EncodedImage",
    "FileDescription",
    "IdealBits",
    "IdealImage",
    "LosslessCodec",
    "LossyCodec",
    "LossyImage",
    "codec_for",
    "compress",
    "decompress",
    "describe",
    "encoder",
    "nearest_quality",
]
