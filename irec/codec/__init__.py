"""Image -> bytes -> image; the only place where models, coding and bitstream meet."""

from irec.codec.api import codec_for, compress, decompress
from irec.codec.description import FileDescription, describe
from irec.codec.encoded import EncodedImage, IdealBits
from irec.codec.lossless import DEFAULT_EFFORT, LosslessCodec

__all__ = [
    "DEFAULT_EFFORT",
    "EncodedImage",
    "FileDescription",
    "IdealBits",
    "LosslessCodec",
    "codec_for",
    "compress",
    "decompress",
    "describe",
]
