from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from irec.bitstream import (
    LOSSLESS,
    LOSSY,
    STORED,
    Bitstream,
    Colour,
    Header,
    check_pixels,
    pixel_checksum,
    read_header,
)
from irec.bitstream.bits import BitReader, BitWriter
from irec.bitstream.header import MAX_HEADER_BYTES, MAX_SIDE
from irec.errors import (
    BitstreamError,
    CorruptFileError,
    InvalidParameterError,
    NotAnIrecFileError,
    TruncatedFileError,
    UnsupportedVersionError,
)

USUAL = Header(LOSSLESS, b"abc", 32, 32, Colour.RGB)

profiles = st.sampled_from([LOSSLESS, LOSSY, STORED])
headers = profiles.flatmap(
    lambda profile: st.builds(
        Header,
        profile=st.just(profile),
        fingerprint=st.just(b"abc"[: profile.fingerprint_bytes]),
        height=st.integers(1, MAX_SIDE),
        width=st.integers(1, MAX_SIDE),
        colour=st.sampled_from(Colour),
        seed=st.integers(0, (1 << 64) - 1) | st.just(0),
        has_metadata=st.booleans(),
        quality_index=st.integers(0, profile.max_quality_index),
    )
)


def to_file(header: Header) -> bytes:
    writer = BitWriter()
    header.write(writer)
    return writer.to_bytes()


@given(headers, st.binary(max_size=3))
def test_headers_round_trip(header: Header, rest: bytes):
    data = to_file(header)
    assert read_header(data + rest) == header
    assert len(data) <= MAX_HEADER_BYTES


@given(headers)
def test_every_truncation_is_named(header: Header):
    data = to_file(header)
    for length in range(1, len(data)):
        with pytest.raises(TruncatedFileError):
            read_header(data[:length])
    with pytest.raises(TruncatedFileError, match="empty"):
        read_header(b"")


@given(st.binary(max_size=40))
def test_garbage_behind_the_magic_gives_a_header_or_a_typed_error(rest: bytes):
    try:
        header = read_header(b"iR" + rest)
    except BitstreamError:
        return
    # What was accepted is written again to the same bytes: one header, one encoding.
    assert (b"iR" + rest).startswith(to_file(header))


def test_bytes_are_these():
    assert to_file(USUAL).hex() == "6952106162631f1f"
    other = replace(USUAL, height=300, colour=Colour.RGBA, profile=LOSSY, quality_index=77)
    assert to_file(other).hex() == "69521303616263ab021f4d"
    assert to_file(replace(other, seed=200)).hex() == "6952130b616263ab021f4dc801"


def test_a_quality_belongs_to_a_lossy_file():
    for profile, index in ((LOSSLESS, 1), (LOSSY, 201), (LOSSY, -1)):
        with pytest.raises(InvalidParameterError, match="quality index"):
            replace(USUAL, profile=profile, quality_index=index)


def test_foreign_and_newer_files_are_told_apart():
    with pytest.raises(NotAnIrecFileError):
        read_header(b"\x89PNG\r\n\x1a\n")
    newer = bytearray(to_file(USUAL))
    newer[2] = 2 << 4
    with pytest.raises(UnsupportedVersionError, match="version 2"):
        read_header(bytes(newer))
    newer[2] = 1 << 4 | 7 << 1
    with pytest.raises(UnsupportedVersionError, match="profile, 7"):
        read_header(bytes(newer))
    newer[2:4] = [1 << 4 | 1, 1 << 5]
    with pytest.raises(UnsupportedVersionError, match="newer irec"):
        read_header(bytes(newer))


@pytest.mark.parametrize(
    "fields",
    [
        "10 616263 808004 1f",  # 65,537 pixels high
        "10 616263 9f00 1f",  # 31 in two bytes
        "11 00 616263 1f 1f",  # nothing more
        "11 08 616263 1f 1f 00",  # the usual seed stored
        "11 08 616263 1f 1f ffffffffffffffffff02",  # a seed of 65 bits
        "11 08 616263 1f 1f ffffffffffffffffffff01",  # a seed of 77 bits
        "12 616263 1f 1f c9",  # quality index 201
    ],
)
def test_damaged_fields_are_named(fields: str):
    with pytest.raises(CorruptFileError):
        read_header(b"iR" + bytes.fromhex(fields) + bytes(4))


@pytest.mark.parametrize(
    "change",
    [
        {"height": 0},
        {"width": MAX_SIDE + 1},
        {"fingerprint": b"ab"},
        {"seed": -1},
        {"seed": 1 << 64},
    ],
)
def test_values_out_of_range_are_refused(change: dict[str, object]):
    with pytest.raises(InvalidParameterError):
        replace(USUAL, **change)


@given(st.integers(0, (1 << 64) - 1), st.binary(max_size=2))
def test_varints_round_trip(value: int, front: bytes):
    writer = BitWriter()
    writer.write_bytes(front)
    writer.write_varint(value)
    reader = BitReader(writer.to_bytes() + b"\x80")
    assert reader.read_bytes(len(front)) == front
    assert reader.read_varint() == value
    assert reader.bits_left == 8


def test_checksum_covers_every_pixel_and_the_shape():
    pixels = np.arange(24, dtype=np.uint8).reshape(3, 2, 4)
    stream = Bitstream(USUAL, pixel_checksum=pixel_checksum(pixels))
    check_pixels(stream, pixels)
    check_pixels(stream, np.asfortranarray(pixels))
    changed = pixels.copy()
    changed[2, 1, 3] ^= 1
    for wrong in (changed, pixels.reshape(3, 4, 2), pixels.reshape(1, 6, 4)):
        with pytest.raises(CorruptFileError, match="checksum"):
            check_pixels(stream, wrong)
