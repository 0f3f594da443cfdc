import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from irec.bitstream import compress_alpha, decompress_alpha
from irec.errors import BitstreamError, CorruptFileError, TruncatedFileError

planes = hnp.arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)))


def deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(level=9, wbits=-15)
    return compressor.compress(data) + compressor.flush()


@given(planes)
def test_planes_round_trip(plane: np.ndarray):
    np.testing.assert_array_equal(decompress_alpha(compress_alpha(plane), *plane.shape), plane)


@given(planes)
def test_every_truncation_and_every_addition_is_named(plane: np.ndarray):
    data = compress_alpha(plane)
    for length in range(len(data)):
        with pytest.raises(TruncatedFileError):
            decompress_alpha(data[:length], *plane.shape)
    with pytest.raises(CorruptFileError):
        decompress_alpha(data + b"\0", *plane.shape)


@given(planes, st.binary(max_size=40))
def test_garbage_gives_a_plane_or_a_typed_error(plane: np.ndarray, data: bytes):
    try:
        decoded = decompress_alpha(data, *plane.shape)
    except BitstreamError:
        return
    assert decoded.shape == plane.shape


def test_each_filter_is_used_where_it_fits_and_undone():
    rng = np.random.default_rng(0)
    noise = rng.integers(-4, 5, (64, 64)).astype(np.uint8)
    # Every row is a ramp of its own steepness, so only its left differences are constant.
    start, steepness = rng.integers(0, 256, (2, 64, 1))
    ramps = (start + steepness * np.arange(64)).astype(np.uint8)
    for plane, kind in ((noise, 0), (ramps, 1), (ramps.T.copy(), 2)):
        data = compress_alpha(plane)
        assert data[0] == kind
        np.testing.assert_array_equal(decompress_alpha(data, 64, 64), plane)


def test_an_opaque_plane_is_tiny():
    assert len(compress_alpha(np.full((32, 32), 255, np.uint8))) <= 16


def test_data_of_another_size_are_refused():
    data = compress_alpha(np.full((8, 8), 3, np.uint8))
    for height, width in ((8, 7), (8, 9), (1, 1)):
        with pytest.raises(CorruptFileError):
            decompress_alpha(data, height, width)
    with pytest.raises(CorruptFileError, match="filter 3"):
        decompress_alpha(b"\x03" + data[1:], 8, 8)


def test_a_deflate_bomb_is_not_inflated():
    bomb = b"\0" + deflate(bytes(50_000_000))
    tracemalloc.start()
    with pytest.raises(CorruptFileError):
        decompress_alpha(bomb, 100, 100)
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()
