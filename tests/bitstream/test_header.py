from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from irec.bitstream import Colour, Header, check_pixels, pixel_checksum, read_header
from irec.bitstream.header import MAX_LOG2_CANDIDATES, MAX_SIDE, read_varint, write_varint
from irec.errors import (
    BitstreamError,
    CorruptFileError,
    InvalidParameterError,
    NotAnIrecFileError,
    TruncatedFileError,
    UnsupportedVersionError,
)

USUAL = Header(32, 32, Colour.RGB, b"abc", checksum=0x01020304)

headers = st.builds(
    Header,
    height=st.integers(1, MAX_SIDE),
    width=st.integers(1, MAX_SIDE),
    colour=st.sampled_from(Colour),
    fingerprint=st.binary(min_size=3, max_size=3),
    lossy=st.booleans(),
    seed=st.integers(0, (1 << 64) - 1) | st.just(0),
    log2_candidates=st.integers(1, MAX_LOG2_CANDIDATES) | st.just(6),
    checksum=st.integers(0, (1 << 32) - 1),
)


def to_file(header: Header) -> bytes:
    return header.to_bytes() + header.checksum.to_bytes(4, "little")


@given(headers, st.binary(max_size=3))
def test_headers_round_trip(header: Header, rest: bytes):
    assert read_header(to_file(header) + rest) == header


@given(headers)
def test_every_truncation_is_named(header: Header):
    data = to_file(header)
    for length in range(1, len(data)):
        with pytest.raises(TruncatedFileError):
            read_header(data[:length])
    with pytest.raises(NotAnIrecFileError):
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
    assert to_file(USUAL).hex() == "6952106162631f1f04030201"
    settings = replace(USUAL, height=300, colour=Colour.RGBA, lossy=True, rate=77, seed=200)
    assert settings.to_bytes().hex() == "69521f616263ab021f4dc80106"


def test_a_rate_belongs_to_a_lossy_file():
    for lossy, rate in ((False, 1), (True, 201), (True, -1)):
        with pytest.raises(InvalidParameterError, match="rate"):
            replace(USUAL, lossy=lossy, rate=rate)


def test_foreign_and_newer_files_are_told_apart():
    with pytest.raises(NotAnIrecFileError):
        read_header(b"\x89PNG\r\n\x1a\n")
    newer = bytearray(to_file(USUAL))
    newer[2] = 2 << 4
    with pytest.raises(UnsupportedVersionError, match="version 2"):
        read_header(bytes(newer))


@pytest.mark.parametrize(
    "fields",
    [
        "10 616263 808004 1f",  # 65,537 pixels high
        "10 616263 9f00 1f",  # 31 in two bytes
        "11 616263 1f 1f 00 06",  # default settings stored
        "11 616263 1f 1f 00 00",  # no candidates
        "11 616263 1f 1f 00 19",  # 2**25 candidates
        "11 616263 1f 1f ffffffffffffffffff02 06",  # a seed of 65 bits
        "11 616263 1f 1f ffffffffffffffffffff01 06",  # a seed of 77 bits
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
        {"log2_candidates": 0},
        {"log2_candidates": MAX_LOG2_CANDIDATES + 1},
        {"checksum": 1 << 32},
    ],
)
def test_values_out_of_range_are_refused(change: dict[str, object]):
    with pytest.raises(InvalidParameterError):
        replace(USUAL, **change)


@given(st.integers(0, (1 << 64) - 1), st.binary(max_size=2))
def test_varints_round_trip(value: int, front: bytes):
    data = front + write_varint(value)
    assert read_varint(data + b"\x80", len(front)) == (value, len(data))


def test_checksum_covers_every_pixel_and_the_shape():
    pixels = np.arange(24, dtype=np.uint8).reshape(3, 2, 4)
    header = replace(USUAL, height=2, width=4, checksum=pixel_checksum(pixels))
    check_pixels(header, pixels)
    check_pixels(header, np.asfortranarray(pixels))
    changed = pixels.copy()
    changed[2, 1, 3] ^= 1
    for wrong in (changed, pixels.reshape(3, 4, 2), pixels.reshape(1, 6, 4)):
        with pytest.raises(CorruptFileError, match="checksum"):
            check_pixels(header, wrong)
