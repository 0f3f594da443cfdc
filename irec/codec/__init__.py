"""Image -> bytes -> image; the only place where models, coding and bitstream meet."""

from irec.bitstream import read_metadata
from irec.codec.api import (
    codec_for,
    compress,
    compress_with,
    decompress,
    describe,
    is_stored,
    load_codec,
    make_codec,
    multiple_of,
)
from irec.codec.base import Codec
from irec.codec.encoded import Encoded, FileDescription, Ideal
from irec.codec.lossless import LosslessCodec
from irec.codec.lossy import LossyCodec
from irec.codec.qualities import nearest_quality
from irec.codec.stored import StoredCodec

__all__ = [
    "Codec",
    "Encoded",
    "FileDescription",
    "Ideal",
    "LosslessCodec",
    "LossyCodec",
    "StoredCodec",
    "codec_for",
    "compress",
    "compress_with",
    "decompress",
    "describe",
    "is_stored",
    "load_codec",
    "make_codec",
    "multiple_of",
    "nearest_quality",
    "read_metadata",
]
