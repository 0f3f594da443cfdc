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
        trade_off: the lambda that a lossy file was made for.
        tiles: grid offset, steps and rho of each latent tensor, indices.
        sections: bits of each part of the file; they sum to 8 x its length.
    """

    format_version: int
    header: Header
    checkpoint: str
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
    return FileDescription(
        format_version=FORMAT_VERSION,
        header=stream.header,
        checkpoint=codec.checkpoint.name,
        trade_off=codec.trade_off_of(stream.header) if isinstance(codec, LossyCodec) else None,
        tiles=stream.tiles,
        sections=asdict(codec.sizes(data)),
    )
