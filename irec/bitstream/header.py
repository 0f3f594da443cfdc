"""The first bytes of an ``.irec`` file: what image it holds and which model wrote it.

    2  magic "iR"
    1  format version (high 4 bits), lossy (1 bit), colour (2 bits), settings follow (1 bit)
    3  model fingerprint: first 24 bits of a SHA-256
    v  height - 1
    v  width - 1
   [1  rate]                                        only where the file is lossy
   [v  seed, 1  log2 of the number of candidates]   only where they are not the defaults
    4  checksum, CRC32, little-endian

``v`` is a varint: seven bits a byte, least significant first, high bit set while more follow, no
needless last byte. A usual file of up to 128x128 pixels spends 12 bytes.
"""

import enum
import struct
import zlib
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from irec.errors import (
    CorruptFileError,
    InvalidParameterError,
    NotAnIrecFileError,
    TruncatedFileError,
    UnsupportedVersionError,
)

MAGIC = b"iR"
FORMAT_VERSION = 1
DEFAULT_SEED = 0
DEFAULT_LOG2_CANDIDATES = 6
DEFAULT_LOSSY_LOG2_CANDIDATES = 8
MAX_LOG2_CANDIDATES = 24
MAX_RATE = 200
MAX_SIDE = 1 << 16
FINGERPRINT_BYTES = 3
CHECKSUM_BYTES = 4


class Colour(enum.IntEnum):
    """What the image's channels are; the number stands in the file."""

    RGB = 0
    GREY = 1
    GREY_ALPHA = 2
    RGBA = 3

    @property
    def n_colour_channels(self) -> int:
        """Channels that the model codes: all but alpha."""
        return 3 if self in (Colour.RGB, Colour.RGBA) else 1

    @property
    def has_alpha(self) -> bool:
        """Whether an alpha plane follows the header."""
        return self in (Colour.GREY_ALPHA, Colour.RGBA)


@dataclass(frozen=True)
class Header:
    """Facts about the image and the coder that stand in the file.

    Attributes:
        height: Pixels, 1 to 65,536.
        width: Pixels, 1 to 65,536.
        colour: Kind of channels.
        fingerprint: First three bytes of the model's SHA-256.
        lossy: Whether the latents are all there is; such a file has no pixel residual.
        rate: Of a lossy file, 0 to 200: where between the lowest and the highest of its model's
            rates it lies, in halves of a per cent.
        seed: Of the shared randomness, 0 <= seed < 2**64.
        log2_candidates: Bits per index, 1 to 24.
        checksum: CRC32; of the pixels (``pixel_checksum``) in a lossless file. A lossy file is
            decoded with a device's own rounding, so there it covers the file's other bytes, and
            ``pack`` fills it in.

    Raises:
        InvalidParameterError: A value is out of its range.
    """

    height: int
    width: int
    colour: Colour
    fingerprint: bytes
    lossy: bool = False
    rate: int = 0
    seed: int = DEFAULT_SEED
    log2_candidates: int = DEFAULT_LOG2_CANDIDATES
    checksum: int = 0

    def __post_init__(self) -> None:
        """Checks the ranges."""
        if not (1 <= self.height <= MAX_SIDE and 1 <= self.width <= MAX_SIDE):
            raise InvalidParameterError(
                f"an image of {self.height}x{self.width} pixels; sides of 1 to {MAX_SIDE} fit"
            )
        if len(self.fingerprint) != FINGERPRINT_BYTES:
            raise InvalidParameterError(f"the fingerprint has {FINGERPRINT_BYTES} bytes")
        if not 0 <= self.rate <= (MAX_RATE if self.lossy else 0):
            raise InvalidParameterError(f"rate {self.rate} of a file with lossy={self.lossy}")
        if not 0 <= self.seed < 1 << 64:
            raise InvalidParameterError(f"seed {self.seed} is not a 64-bit number")
        if not 1 <= self.log2_candidates <= MAX_LOG2_CANDIDATES:
            raise InvalidParameterError(f"2**{self.log2_candidates} candidates a step")
        if not 0 <= self.checksum < 1 << 32:
            raise InvalidParameterError(f"checksum {self.checksum} is not a 32-bit number")

    @property
    def n_colour_values(self) -> int:
        """Values that a residual codes: height x width x colour channels."""
        return self.height * self.width * self.colour.n_colour_channels

    @property
    def has_default_settings(self) -> bool:
        """Whether seed and number of candidates are the defaults, and so are not stored."""
        settings = (self.seed, self.log2_candidates)
        return settings == (DEFAULT_SEED, _default_log2_candidates(self.lossy))

    def to_bytes(self) -> bytes:
        """The header without its checksum, which ``pack`` appends."""
        settings = not self.has_default_settings
        kind = FORMAT_VERSION << 4 | self.lossy << 3 | self.colour << 1 | settings
        parts = [MAGIC, bytes([kind]), self.fingerprint]
        parts += [write_varint(self.height - 1), write_varint(self.width - 1)]
        if self.lossy:
            parts.append(bytes([self.rate]))
        if settings:
            parts += [write_varint(self.seed), bytes([self.log2_candidates])]
        return b"".join(parts)


def read_header(data: bytes) -> Header:
    """Reads the header; needs no model, and no more than the first 32 bytes of a file.

    Args:
        data: The file's bytes, or its beginning.

    Raises:
        NotAnIrecFileError: The magic is missing.
        UnsupportedVersionError: A newer irec wrote the file.
        TruncatedFileError: The bytes end inside the header.
        CorruptFileError: A field is out of range or not written as irec writes it.
    """
    return parse_header(data)[0]


def parse_header(data: bytes) -> tuple[Header, int]:
    """Reads the header and the number of bytes it takes, checksum included; see ``read_header``."""
    if not data.startswith(MAGIC[: max(1, len(data))]):
        raise NotAnIrecFileError("this is not an .irec file: its first bytes are others")
    kind, position = _take(data, len(MAGIC), 1)
    if kind[0] >> 4 != FORMAT_VERSION:
        raise UnsupportedVersionError(
            f"the file has format version {kind[0] >> 4}, this irec reads {FORMAT_VERSION}"
        )
    fingerprint, position = _take(data, position, FINGERPRINT_BYTES)
    height, position = read_varint(data, position)
    width, position = read_varint(data, position)
    is_lossy, rate = bool(kind[0] >> 3 & 1), 0
    if is_lossy:
        field, position = _take(data, position, 1)
        rate = field[0]
    seed, log2_candidates = DEFAULT_SEED, _default_log2_candidates(is_lossy)
    has_settings = bool(kind[0] & 1)
    if has_settings:
        seed, position = read_varint(data, position)
        field, position = _take(data, position, 1)
        log2_candidates = field[0]
    field, position = _take(data, position, CHECKSUM_BYTES)
    try:
        header = Header(
            height=height + 1,
            width=width + 1,
            colour=Colour(kind[0] >> 1 & 3),
            fingerprint=fingerprint,
            lossy=is_lossy,
            rate=rate,
            seed=seed,
            log2_candidates=log2_candidates,
            checksum=int.from_bytes(field, "little"),
        )
    except InvalidParameterError as error:
        raise CorruptFileError(f"the header is damaged: {error}") from error
    if has_settings and header.has_default_settings:
        raise CorruptFileError("the header is damaged: it stores default settings")
    return header, position


def _default_log2_candidates(is_lossy: bool) -> int:
    return DEFAULT_LOSSY_LOG2_CANDIDATES if is_lossy else DEFAULT_LOG2_CANDIDATES


def pixel_checksum(pixels: UInt8[np.ndarray, "c h w"]) -> int:
    """CRC32 of a whole image, its shape mixed in.

    Args:
        pixels: uint8, shape [C, H, W], alpha included as the last channel.
    """
    shape = struct.pack("<3I", *pixels.shape)
    return zlib.crc32(np.ascontiguousarray(pixels).data, zlib.crc32(shape))


def check_pixels(header: Header, pixels: UInt8[np.ndarray, "c h w"]) -> None:
    """Compares a decoded image with a lossless file's checksum.

    Args:
        header: Of the file.
        pixels: uint8, shape [C, H, W], alpha included as the last channel.

    Raises:
        CorruptFileError: They differ, so the pixels are wrong.
    """
    if pixel_checksum(pixels) != header.checksum:
        raise CorruptFileError("the decoded pixels do not match the file's checksum")


def write_varint(value: int) -> bytes:
    """Encodes an unsigned number, seven bits a byte, least significant first."""
    parts = []
    while value >= 0x80:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def read_varint(data: bytes, position: int) -> tuple[int, int]:
    """Decodes a varint of up to 64 bits.

    Args:
        data: Bytes that hold it.
        position: Where it starts.

    Returns:
        The number, and the position after it.

    Raises:
        TruncatedFileError: The bytes end inside it.
        CorruptFileError: It is longer than 64 bits or than it needs to be.
    """
    value = 0
    for shift in range(0, 70, 7):
        field, position = _take(data, position, 1)
        value |= (field[0] & 0x7F) << shift
        if field[0] < 0x80:
            if (field[0] == 0 and shift) or value >> 64:
                break
            return value, position
    raise CorruptFileError("the file holds a malformed number")


def _take(data: bytes, position: int, n_bytes: int) -> tuple[bytes, int]:
    if position + n_bytes > len(data):
        raise TruncatedFileError("the file ends inside its header")
    return data[position : position + n_bytes], position + n_bytes
