"""Files that lie: whole decodes of damaged files, and headers that promise the earth."""

import time
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from irec.bitstream import (
    LOSSLESS,
    Bitstream,
    Colour,
    Header,
    LogisticParameters,
    ResidualDecoder,
    ResidualEncoder,
    TileCode,
    TilePlan,
    check_pixels,
    compress_alpha,
    decompress_alpha,
    pack,
    pixel_checksum,
    quantise,
    unpack,
)
from irec.bitstream.bits import BitWriter
from irec.bitstream.side_info import SideInfoModel
from irec.coding import TensorCode
from irec.errors import BitstreamError, CorruptFileError, ModelMismatchError, TruncatedFileError

SIDE_INFO = SideInfoModel((3.0, 2.0), (10, 4))
FINGERPRINT = b"abc"
HEIGHT, WIDTH = 4, 5


def parameters_of(tile: TileCode) -> LogisticParameters:
    """Stands in for the network: parameters that depend on every index."""
    rng = np.random.default_rng([int(i) for t in tile.tensors for i in t.indices])
    shape = (1, HEIGHT, WIDTH)
    return LogisticParameters(rng.uniform(90, 160, shape), rng.uniform(0, 3, shape))


def plan_for(header: Header) -> TilePlan:
    if header.fingerprint != FINGERPRINT:
        raise ModelMismatchError("another model wrote this file")
    n_tiles = -(-header.height // HEIGHT)
    return TilePlan(SIDE_INFO, (HEIGHT * WIDTH,) * n_tiles)


def decode(data: bytes) -> np.ndarray:
    stream = unpack(data, plan_for)
    decoder = ResidualDecoder(stream.residual)
    tiles = [decoder.next(quantise(parameters_of(t), t.grid_offset)) for t in stream.tiles]
    pixels = np.concatenate(tiles, axis=1)
    if stream.alpha is not None:
        alpha = decompress_alpha(stream.alpha, stream.header.height, stream.header.width)
        if alpha.shape != pixels.shape[1:]:
            raise CorruptFileError("the stand-in network makes tiles of one size only")
        pixels = np.concatenate([pixels, alpha[None]])
    check_pixels(stream, pixels)
    return pixels


def make_file(colour: Colour = Colour.GREY_ALPHA) -> tuple[bytes, np.ndarray]:
    rng = np.random.default_rng(4)
    tiles = [
        TileCode(
            [
                TensorCode(3, 9, torch.from_numpy(rng.integers(0, 64, 3))),
                TensorCode(2, 4, torch.from_numpy(rng.integers(0, 64, 2))),
            ],
            offset,
        )
        for offset in (0, 2)
    ]
    pixels = rng.integers(100, 150, (1, 2 * HEIGHT, WIDTH)).astype(np.uint8)
    encoder = ResidualEncoder()
    for number, tile in enumerate(tiles):
        rows = slice(number * HEIGHT, (number + 1) * HEIGHT)
        encoder.add(pixels[:, rows], quantise(parameters_of(tile), tile.grid_offset))
    alpha = None
    if colour.has_alpha:
        plane = rng.integers(250, 256, pixels.shape[1:]).astype(np.uint8)
        alpha = compress_alpha(plane)
        pixels = np.concatenate([pixels, plane[None]])
    header = Header(LOSSLESS, FINGERPRINT, 2 * HEIGHT, WIDTH, colour)
    stream = Bitstream(header, tiles, encoder.finish(), alpha, pixel_checksum(pixels))
    return pack(stream, plan_for(header)), pixels


def front_of(header: Header) -> bytes:
    writer = BitWriter()
    header.write(writer)
    return writer.to_bytes()


FILE, PIXELS = make_file()


def bounded(function: Callable[[], object], peak_bytes: int, seconds: float = 1.0) -> None:
    """Runs something that must end in a BitstreamError within these bounds."""
    tracemalloc.start()
    start = time.perf_counter()
    try:
        with pytest.raises(BitstreamError):
            function()
        assert tracemalloc.get_traced_memory()[1] < peak_bytes
        assert time.perf_counter() - start < seconds
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("colour", [Colour.GREY, Colour.GREY_ALPHA])
def test_the_whole_file_decodes(colour: Colour):
    data, pixels = make_file(colour)
    np.testing.assert_array_equal(decode(data), pixels)


@pytest.mark.parametrize("colour", [Colour.GREY, Colour.GREY_ALPHA])
def test_every_truncation_ends_in_a_typed_error(colour: Colour):
    data, _ = make_file(colour)
    for length in range(len(data)):
        with pytest.raises(BitstreamError):
            decode(data[:length])


def test_every_single_bit_flip_ends_in_a_typed_error():
    # All bits of header, side information and indices; one of each byte of the pixels.
    residual_bits = unpack(FILE, plan_for).sizes["residual"] + 32
    front_bits = 8 * len(FILE) - residual_bits
    for position in [*range(front_bits), *range(front_bits, 8 * len(FILE), 9)]:
        damaged = bytearray(FILE)
        damaged[position // 8] ^= 1 << position % 8
        with pytest.raises(BitstreamError):
            decode(bytes(damaged))


@settings(max_examples=150)
@given(st.dictionaries(st.integers(0, len(FILE) - 1), st.integers(0, 255), min_size=1, max_size=9))
def test_changed_bytes_end_in_a_typed_error_or_change_no_pixel(changes: dict[int, int]):
    damaged = bytearray(FILE)
    for position, value in changes.items():
        damaged[position] = value
    try:
        pixels = decode(bytes(damaged))
    except BitstreamError:
        return
    np.testing.assert_array_equal(pixels, PIXELS)


@settings(max_examples=150)
@given(st.binary(max_size=60))
def test_garbage_behind_a_good_header_ends_in_a_typed_error(rest: bytes):
    with pytest.raises(BitstreamError):
        decode(FILE[:9] + rest)


@pytest.mark.parametrize("colour", list(Colour))
def test_a_header_cannot_claim_more_than_the_file_can_hold(colour: Colour):
    header = Header(LOSSLESS, FINGERPRINT, 65_536, 65_536, colour)
    front = front_of(header)

    def refuse_to_plan(header: Header) -> TilePlan:
        raise AssertionError("the claim should have been refused before")

    for rest in (b"", b"\x05\x00\x01\x02\x03\x04" + bytes(1000)):
        bounded(lambda rest=rest: unpack(front + rest, refuse_to_plan), 100_000)


def test_the_alpha_plane_is_bounded_by_its_section():
    header = Header(LOSSLESS, FINGERPRINT, 60_000, 60_000, Colour.GREY_ALPHA)
    data = front_of(header) + b"\x02\x00\x00" + bytes(100_000)
    with pytest.raises(CorruptFileError, match="alpha"):
        unpack(data, plan_for)


def test_steps_are_counted_before_indices_are_read():
    header = Header(LOSSLESS, FINGERPRINT, HEIGHT, WIDTH, Colour.RGB)
    writer = BitWriter()
    writer.write_rice(0, 0)
    for _ in range(2):
        writer.write_rice((1 << 31) - 1, 0)
        writer.write_rice(0, 0)
    data = front_of(header) + writer.to_bytes() + bytes(1000)
    plan = TilePlan(SideInfoModel((0.0, 0.0), (10, 4)), (HEIGHT * WIDTH,))
    with pytest.raises(TruncatedFileError, match="of 4294967294 indices"):
        unpack(data, lambda header: plan)
    bounded(lambda: unpack(data, lambda header: plan), 200_000)


def test_a_grid_offset_out_of_range_is_corrupt():
    header = Header(LOSSLESS, FINGERPRINT, HEIGHT, WIDTH, Colour.RGB)
    writer = BitWriter()
    writer.write_rice(16, 0)
    data = front_of(header) + writer.to_bytes() + bytes(1000)
    with pytest.raises(CorruptFileError, match="grid offset 16"):
        unpack(data, plan_for)
