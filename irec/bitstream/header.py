"""The first section of a file: what image it holds, which model and which profile wrote it.

The layout stands in :mod:`irec.bitstream.container`.
"""

import enum
from dataclasses import dataclass

from irec.bitstream.bits import BitReader, BitWriter
from irec.bitstream.profile import PROFILES, Profile
from irec.errors import (
    CorruptFileError,
    InvalidParameterError,
    NotAnIrecFileError,
    TruncatedFileError,
    UnsupportedVersionError,
)
from irec.images import MAX_SIDE

MAGIC = b"iR"
FORMAT_VERSION = 1
# No header is longer: 2 + 1 + 1 + 3 + 3 + 3 + 1 + 10 bytes.
MAX_HEADER_BYTES = 24
# Files of images up to this size do not say how long they are: two bytes are a thousandth of them,
# and what is shorter than a packet or a block of a disk is hardly ever cut.
_SMALL_PIXELS = 1 << 12


class Colour(enum.IntEnum):
    """What the image's channels are; the number stands in the file."""

    RGB = 0
    GREY = 1
    GREY_ALPHA = 2
    RGBA = 3
    # Red, green and blue are equal everywhere: a grey picture in the form of a colour one.
    EQUAL_RGB = 4
    EQUAL_RGBA = 5

    @property
    def n_colour_channels(self) -> int:
        """Channels of the image, alpha aside."""
        return 1 if self in (Colour.GREY, Colour.GREY_ALPHA) else 3

    @property
    def n_coded_channels(self) -> int:
        """Channels that the model codes: one stands for three equal ones."""
        return 3 if self in (Colour.RGB, Colour.RGBA) else 1

    @property
    def has_alpha(self) -> bool:
        """Whether the file holds an alpha plane."""
        return self in (Colour.GREY_ALPHA, Colour.RGBA, Colour.EQUAL_RGBA)


@dataclass(frozen=True)
class Header:
    """Facts about the image and the coder that stand in the file.

    Attributes:
        profile: Kind of file.
        fingerprint: First three bytes of the model's SHA-256; none where the profile has no model.
        height: Pixels, 1 to 65,536.
        width: Pixels, 1 to 65,536.
        colour: Kind of channels.
        seed: Of the shared randomness, 0 <= seed < 2**64.
        has_metadata: Whether the file holds metadata.
        quality_index: Of a lossy file, 0 to the profile's maximum: where between the model's lowest
            and highest quality it lies.

    Raises:
        InvalidParameterError: A value is out of its range.
    """

    profile: Profile
    fingerprint: bytes
    height: int
    width: int
    colour: Colour
    seed: int = 0
    quality_index: int = 0
    has_metadata: bool = False

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not (1 <= self.height <= MAX_SIDE and 1 <= self.width <= MAX_SIDE):
            raise InvalidParameterError(
                f"an image of {self.width}x{self.height} pixels; sides of 1 to {MAX_SIDE} fit"
            )
        if len(self.fingerprint) != self.profile.fingerprint_bytes:
            raise InvalidParameterError(
                f"the fingerprint has {self.profile.fingerprint_bytes} bytes"
            )
        if not 0 <= self.seed < 1 << 64:
            raise InvalidParameterError(f"seed {self.seed} is not a 64-bit number")
        if not 0 <= self.quality_index <= self.profile.max_quality_index:
            raise InvalidParameterError(
                f"quality index {self.quality_index} of a {self.profile.name} file; it ends at "
                f"{self.profile.max_quality_index}"
            )

    @property
    def n_channels(self) -> int:
        """Channels of the image, alpha included."""
        return self.colour.n_colour_channels + self.colour.has_alpha

    @property
    def tells_length(self) -> bool:
        """Whether the number of a lossless file's pixel data stands before them."""
        return self.height * self.width > _SMALL_PIXELS

    def write(self, writer: BitWriter) -> None:
        """Write the header."""
        has_more = self.colour != Colour.RGB or self.seed != 0 or self.has_metadata
        writer.write_bytes(MAGIC)
        writer.write(FORMAT_VERSION, 4)
        writer.write(self.profile.number, 3)
        writer.write(has_more, 1)
        if has_more:
            writer.write(0, 3)
            writer.write(self.has_metadata, 1)
            writer.write(self.seed != 0, 1)
            writer.write(self.colour, 3)
        writer.write_bytes(self.fingerprint)
        writer.write_varint(self.height - 1)
        writer.write_varint(self.width - 1)
        if self.profile.is_lossy:
            writer.write(self.quality_index, 8)
        if self.seed:
            writer.write_varint(self.seed)

    @staticmethod
    def read(reader: BitReader) -> "Header":
        """Read a header.

        Raises:
            NotAnIrecFileError: The magic is missing.
            UnsupportedVersionError: A newer irec wrote the file.
            TruncatedFileError: The bytes end inside the header.
            CorruptFileError: A field is out of range or not written as irec writes it.
        """
        start = reader.read_bytes(min(len(MAGIC), reader.bits_left // 8))
        if not start:
            raise TruncatedFileError("the file is empty")
        if not MAGIC.startswith(start):
            raise NotAnIrecFileError("this is not an .irec file: its first bytes are others")
        if start != MAGIC:
            raise TruncatedFileError("the file ends inside its header")
        version, number, has_more = (reader.read(width) for width in (4, 3, 1))
        if version != FORMAT_VERSION:
            raise UnsupportedVersionError(
                f"the file has format version {version}, this irec reads {FORMAT_VERSION}"
            )
        if number not in PROFILES:
            raise UnsupportedVersionError(f"this irec does not know the file's profile, {number}")
        reserved, has_metadata, has_seed, colour = 0, 0, 0, 0
        if has_more:
            reserved, has_metadata, has_seed, colour = (
                reader.read(width) for width in (3, 1, 1, 3)
            )
        if reserved or colour not in set(Colour):
            raise UnsupportedVersionError("the file holds something that a newer irec has put in")
        profile = PROFILES[number]
        try:
            header = Header(
                profile=profile,
                fingerprint=reader.read_bytes(profile.fingerprint_bytes),
                height=reader.read_varint() + 1,
                width=reader.read_varint() + 1,
                colour=Colour(colour),
                quality_index=reader.read(8) if profile.is_lossy else 0,
                seed=reader.read_varint() if has_seed else 0,
                has_metadata=bool(has_metadata),
            )
        except InvalidParameterError as error:
            raise CorruptFileError(f"the header is damaged: {error}") from error
        if (has_seed and not header.seed) or (
            has_more and not any((colour, has_seed, has_metadata))
        ):
            raise CorruptFileError("the header is damaged: it stores what needs no storing")
        return header


def read_header(data: bytes) -> Header:
    """Read the header of a file or of its beginning; needs no model, errors as of Header.read."""
    return Header.read(BitReader(data[:MAX_HEADER_BYTES]))
