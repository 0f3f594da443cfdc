import zlib
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from irec.bitstream import (
    Bitstream,
    Colour,
    Header,
    SideInfoModel,
    TensorCode,
    TileCode,
    TilePlan,
    pack,
    section_sizes,
    shortest_beginning,
    unpack,
)
from irec.errors import (
    BitstreamError,
    CorruptFileError,
    InvalidParameterError,
    TruncatedFileError,
)

# The type checker looks at random items of a list, and hypothesis minds that.
pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module")

SIDE_INFO = SideInfoModel((20.0, 9.0, 0.0), (10, 4, 31))


@st.composite
def streams(draw: st.DrawFn) -> tuple[Bitstream, TilePlan]:
    side = st.integers(1, 40)
    colour, lossy = draw(st.sampled_from(Colour)), draw(st.booleans())
    header = Header(
        draw(side),
        draw(side),
        colour,
        draw(st.binary(min_size=3, max_size=3)),
        lossy=lossy,
        rate=draw(st.integers(0, 200)) if lossy else 0,
        seed=draw(st.sampled_from([0, 1, 2**64 - 1])),
        log2_candidates=draw(st.sampled_from([1, 6, 16, 24])),
        checksum=draw(st.integers(0, 2**32 - 1)),
    )
    tile_pixels = tuple(draw(st.lists(st.integers(1, 10_000), max_size=3)))
    tiles = [
        TileCode(
            [draw(tensors(header.log2_candidates)) for _ in "abc"],
            0 if lossy else draw(st.integers(0, 15)),
        )
        for _ in tile_pixels
    ]
    alpha = draw(st.binary(min_size=2, max_size=200)) if colour.has_alpha else None
    residual = b"" if lossy else draw(st.binary(max_size=20))
    return Bitstream(header, tiles, residual, alpha), TilePlan(SIDE_INFO, tile_pixels)


@st.composite
def tensors(draw: st.DrawFn, width: int) -> TensorCode:
    indices = draw(st.lists(st.integers(0, 2**width - 1), max_size=30))
    return code(draw(st.integers(0, 31)) if indices else 0, np.array(indices, np.int64))


def code(rho_index: int, indices: np.ndarray) -> TensorCode:
    return TensorCode(indices.size, rho_index, indices)


def assert_equal(first: Bitstream, second: Bitstream) -> None:
    if first.header.lossy:
        first = replace(first, header=replace(first.header, checksum=second.header.checksum))
    assert (first.header, first.residual, first.alpha) == (
        second.header,
        second.residual,
        second.alpha,
    )
    assert len(first.tiles) == len(second.tiles)
    for one, other in zip(first.tiles, second.tiles, strict=True):
        assert one.grid_offset == other.grid_offset
        for a, b in zip(one.tensors, other.tensors, strict=True):
            assert a.rho_index == b.rho_index
            np.testing.assert_array_equal(a.indices, b.indices)


@settings(max_examples=80, deadline=None)
@given(streams())
def test_streams_round_trip_and_every_bit_is_accounted_for(case):
    stream, plan = case
    data = pack(stream, plan)
    assert_equal(stream, unpack(data, lambda header: plan))
    sizes = section_sizes(data, lambda header: plan)
    assert sum(asdict(sizes).values()) == 8 * len(data)
    n_steps = sum(tensor.n_steps for tile in stream.tiles for tensor in tile.tensors)
    assert sizes.index_bits == n_steps * stream.header.log2_candidates
    assert sizes.residual_bits == 8 * len(stream.residual)
    assert sizes.checksum_bits == 32
    # A lossy file has a byte after its header, if only of zeros.
    assert sizes.padding_bits < 8 or (sizes.padding_bits == 8 and sizes.index_bits == 0)


def golden() -> tuple[Bitstream, TilePlan]:
    header = Header(5, 300, Colour.RGBA, b"\xaa\xbb\xcc", seed=300, log2_candidates=4, checksum=1)
    tiles = [
        TileCode(
            [
                code(9, np.arange(12 + tile) % 16),
                code(5, np.array([15, 1])),
                code(0, np.array([], dtype=np.int64)),
            ],
            2 * tile,
        )
        for tile in range(2)
    ]
    # The alpha bytes are given, because other versions of zlib deflate in other ways.
    return Bitstream(header, tiles, b"\x5c\x84", b"\x01\xfb\xcf"), TilePlan(SIDE_INFO, (700, 800))


def as_lossy(stream: Bitstream) -> Bitstream:
    header = replace(stream.header, lossy=True, rate=77)
    return Bitstream(header, [TileCode(tile.tensors) for tile in stream.tiles], b"", stream.alpha)


def test_bytes_are_these():
    # The file format. A change that breaks this raises FORMAT_VERSION.
    stream, plan = golden()
    pinned = "695217aabbcc04ab02ac0204010000000301fbcf5bfb36dfd802468acf1357e202468acf13579e205c84"
    assert pack(stream, plan).hex() == pinned
    assert_equal(stream, unpack(bytes.fromhex(pinned), lambda header: plan))


def test_a_small_image_spends_at_most_18_bytes_beside_indices_and_residual():
    model = SideInfoModel((90.0, 60.0, 40.0, 25.0, 15.0, 8.0), (10, 12, 14, 9, 7, 5))
    rng = np.random.default_rng(0)
    overheads = []
    for _ in range(200):
        factors = np.exp(rng.normal(0, 0.35) + rng.normal(0, 0.12, 6))
        steps = np.rint(factors * model.usual_steps).astype(int)
        rho = np.array(model.usual_rho) + np.rint(rng.normal(0, 1, 6)).astype(int)
        codes = [
            code(int(r) if n else 0, rng.integers(0, 64, n))
            for r, n in zip(rho, steps, strict=True)
        ]
        stream = Bitstream(Header(32, 32, Colour.RGB, b"abc"), [TileCode(codes)], b"\x01" * 900)
        n_bytes = len(pack(stream, TilePlan(model, (1024,))))
        overheads.append(n_bytes - 900 - 6 * steps.sum() / 8)
    assert np.mean(overheads) <= 18
    assert np.max(overheads) <= 21


def test_the_reader_plans_from_the_header():
    stream, plan = golden()
    seen: list[Header] = []

    def plan_for(header: Header) -> TilePlan:
        seen.append(header)
        return plan

    unpack(pack(stream, plan), plan_for)
    assert seen == [stream.header]


def test_a_lossy_file_is_guarded_byte_by_byte():
    stream, plan = golden()
    stream = as_lossy(stream)
    data = pack(stream, plan)
    assert_equal(stream, unpack(data, lambda header: plan))
    for position in range(11, len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 0x10
        with pytest.raises(CorruptFileError):
            unpack(bytes(damaged), lambda header: plan)
    with pytest.raises(CorruptFileError, match="checksum"):
        unpack(data + b"\0", lambda header: plan)


def test_a_lossy_file_ends_where_its_bits_end():
    stream, plan = golden()
    stream = as_lossy(stream)
    front = stream.header.to_bytes()
    body = pack(stream, plan)[len(front) + 4 :] + b"\0"
    checksum = zlib.crc32(front + body).to_bytes(4, "little")
    with pytest.raises(CorruptFileError, match="1 bytes follow"):
        unpack(front + checksum + body, lambda header: plan)


def test_a_large_lossy_image_has_a_byte_for_each_65536_pixels():
    header = Header(1024, 1030, Colour.RGB, b"abc", lossy=True)
    empty = TileCode([code(0, np.array([], np.int64)) for _ in "abc"])
    stream, plan = Bitstream(header, [empty]), TilePlan(SIDE_INFO, (1024 * 1088,))
    data = pack(stream, plan)
    n_bytes = len(data) - len(header.to_bytes()) - 4
    assert n_bytes == 17
    assert_equal(stream, unpack(data, lambda header: plan))
    with pytest.raises(TruncatedFileError, match="cannot hold"):
        unpack(data[:-1], lambda header: plan, allow_truncated=True)


@settings(max_examples=40, deadline=None)
@given(streams(), st.data())
def test_any_beginning_of_a_lossy_payload_gives_the_indices_in_it(case, data):
    stream, plan = case
    if not (stream.header.lossy and plan.tile_pixels):
        return
    whole = pack(stream, plan)
    sizes = section_sizes(whole, lambda header: plan)
    front_bits = sizes.header_bits + sizes.checksum_bits + sizes.alpha_bits + sizes.side_info_bits
    shortest = shortest_beginning(whole, lambda header: plan)
    with pytest.raises(BitstreamError):
        unpack(whole[: shortest - 1], lambda header: plan, allow_truncated=True)
    length = data.draw(st.integers(shortest, len(whole)))
    part = unpack(whole[:length], lambda header: plan, allow_truncated=True)
    expected = [tensor for tile in stream.tiles for tensor in tile.tensors]
    found = [tensor for tile in part.tiles for tensor in tile.tensors]
    n_left = (8 * length - front_bits) // stream.header.log2_candidates
    for one, other in zip(found, expected, strict=True):
        assert (one.n_steps, one.rho_index) == (other.n_steps, other.rho_index)
        n_known = min(n_left, other.n_steps)
        np.testing.assert_array_equal(one.indices, other.indices[:n_known])
        n_left -= n_known


def test_a_truncated_file_is_refused_unless_that_is_allowed():
    stream, plan = golden()
    lossy = as_lossy(stream)
    data = pack(lossy, plan)
    with pytest.raises(BitstreamError):
        unpack(data[:-2], lambda header: plan)
    # Whole but damaged: the checksum still counts.
    with pytest.raises(CorruptFileError, match="checksum"):
        unpack(data[:-2] + b"\xff\xff", lambda header: plan, allow_truncated=True)
    # A lossless file is of no use without its end.
    with pytest.raises(BitstreamError):
        unpack(pack(stream, plan)[:-8], lambda header: plan, allow_truncated=True)


def test_streams_that_contradict_themselves_are_refused():
    stream, plan = golden()
    grey = replace(stream.header, colour=Colour.GREY)
    large = replace(stream.header, height=60_000, width=60_000)
    wrong = [
        replace(stream, tiles=stream.tiles[:1]),
        replace(stream, alpha=None),
        replace(stream, header=grey),
        replace(stream, header=replace(stream.header, lossy=True)),
        replace(stream, header=large),
        replace(stream, tiles=[replace(stream.tiles[0], grid_offset=16), stream.tiles[1]]),
        replace(stream, tiles=[replace(stream.tiles[0], tensors=[]), stream.tiles[1]]),
        replace(stream, header=replace(stream.header, log2_candidates=3)),
    ]
    for one in wrong:
        with pytest.raises(InvalidParameterError):
            pack(one, plan)
