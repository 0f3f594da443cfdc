"""What a file holds, for people: the facts behind ``irec inspect``."""

from dataclasses import asdict, dataclass

from irec.bitstream import Header, TileCode
from irec.bitstream.header import FORMAT_VERSION
from irec.codec.api import codec_for
from irec.codec.lossy import LossyCodec


@dataclass(frozen=True)
class FileDescription:
    """A file's contents.

    Attributes:
        format_version: of the file.
        header: image size, colour, model fingerprint, seed.
        checkpoint: name of the model that decodes the file.
        quality: 0 to 100 of a lossy file; None where its model has one rate.
        trade_off: the lambda that a lossy file was made for.
        tiles: grid offset, steps and rho of each latent tensor, indices.
        sections: bits of each part of the file; they sum to 8 x its length.
    """

    format_version: int
    header: Header
    checkpoint: str
    quality: float | None
    trade_off: float | None
    tiles: list[TileCode]
    sections: dict[str, int]


def describe(data: bytes, checkpoint: str | None = None) -> FileDescription:
    """Read what a file holds without decoding its pixels.

    Args:
        data: the whole file.
        checkpoint: as for :func:`irec.codec.decompress`.

    Raises:
        BitstreamError: as :func:`irec.codec.decompress`.
    """
    codec = codec_for(data, checkpoint=checkpoint)
    stream = codec.unpack(data)
    lossy = codec if isinstance(codec, LossyCodec) else None
    return FileDescription(
        format_version=FORMAT_VERSION,
        header=stream.header,
        checkpoint=codec.checkpoint.name,
        quality=lossy.rates.quality_of(stream.header.rate) if lossy else None,
        trade_off=lossy.rates.lambda_of(stream.header.rate) if lossy else None,
        tiles=stream.tiles,
        sections=asdict(codec.sizes(data)),
    )
