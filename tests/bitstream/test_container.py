import re
import zlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from irec.bitstream import (
    LATTICE,
    LOSSLESS,
    LOSSY,
    STORED,
    Bitstream,
    Colour,
    Header,
    Profile,
    SideInfoModel,
    TileCode,
    TilePlan,
    check_pixels,
    pack,
    shortest_beginning,
    unpack,
)
from irec.coding import TensorCode
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
    side = st.integers(1, 80)
    colour, profile = (
        draw(st.sampled_from(Colour)),
        draw(st.sampled_from([LOSSLESS, LOSSY, STORED])),
    )
    header = Header(
        profile,
        b"abc"[: profile.fingerprint_bytes],
        draw(side),
        draw(side),
        colour,
        seed=draw(st.sampled_from([0, 1, 2**64 - 1])),
        quality_index=draw(st.integers(0, profile.max_quality_index)),
        has_metadata=draw(st.booleans()),
    )
    metadata = draw(st.binary(min_size=1, max_size=9)) if header.has_metadata else None
    if profile == STORED:
        held = Bitstream(header, metadata=metadata, stored=draw(st.binary(max_size=20)))
        return held, TilePlan(SIDE_INFO, ())
    # As many as three tensors of 30 steps need in a lossy file.
    tile_pixels = tuple(draw(st.lists(st.integers(23, 10_000), max_size=3)))
    tiles = [
        TileCode(
            [draw(tensors(profile.coder.bits_per_step)) for _ in "abc"],
            0 if profile.is_lossy else draw(st.integers(0, 15)),
        )
        for _ in tile_pixels
    ]
    # As few as a deflated plane of this size can have.
    alpha = draw(st.binary(min_size=7, max_size=200)) if colour.has_alpha else None
    residual, checksum = b"", 0
    if not profile.is_lossy:
        residual, checksum = draw(st.binary(max_size=20)), draw(st.integers(0, 2**32 - 1))
    plan = TilePlan(SIDE_INFO, tile_pixels)
    return Bitstream(header, tiles, residual, alpha, checksum, metadata), plan


@st.composite
def tensors(draw: st.DrawFn, width: int) -> TensorCode:
    indices = draw(st.lists(st.integers(0, 2**width - 1), max_size=30))
    return code(draw(st.integers(0, 31)) if indices else 0, indices)


def code(rho_index: int, indices) -> TensorCode:
    return TensorCode(len(indices), rho_index, torch.tensor(indices, dtype=torch.int64))


def assert_equal(first: Bitstream, second: Bitstream) -> None:
    for name in ("header", "residual", "alpha", "pixel_checksum", "metadata", "stored"):
        assert getattr(first, name) == getattr(second, name)
    assert len(first.tiles) == len(second.tiles)
    for one, other in zip(first.tiles, second.tiles, strict=True):
        assert one.grid_offset == other.grid_offset
        for a, b in zip(one.tensors, other.tensors, strict=True):
            assert (a.n_steps, a.rho_index) == (b.n_steps, b.rho_index)
            assert torch.equal(a.indices, b.indices)


def profile_tells_length(header: Header) -> bool:
    return header.profile.has_residual and header.tells_length


@settings(max_examples=80)
@given(streams())
def test_streams_round_trip_and_every_bit_is_accounted_for(case):
    stream, plan = case
    data = pack(stream, plan)
    found = unpack(data, lambda header: plan)
    assert_equal(stream, found)
    sizes = stream.sizes
    assert sizes == found.sizes
    assert sum(sizes.values()) == 8 * len(data)
    n_steps = sum(tensor.n_steps for tile in stream.tiles for tensor in tile.tensors)
    assert sizes.get("indices", 0) == n_steps * stream.header.profile.coder.bits_per_step
    length_bits = 8 if profile_tells_length(stream.header) else 0
    assert sizes.get("residual", 0) == length_bits + 8 * len(stream.residual)
    assert sizes["checksum"] == 32
    assert sizes.get("padding", 0) < 8


def golden() -> tuple[Bitstream, TilePlan]:
    header = Header(LOSSLESS, b"\xaa\xbb\xcc", 5, 300, Colour.RGBA, seed=300)
    tiles = [
        TileCode(
            [
                code(9, range(12 + tile)),
                code(5, [15, 1]),
                code(0, []),
            ],
            2 * tile,
        )
        for tile in range(2)
    ]
    # The alpha bytes are given, because other versions of zlib deflate in other ways.
    plan = TilePlan(SIDE_INFO, (700, 800))
    return Bitstream(header, tiles, b"\x5c\x84", b"\x01\xfb\xcf", 1), plan


def as_lossy(stream: Bitstream) -> Bitstream:
    header = replace(stream.header, profile=LOSSY, quality_index=77)
    return Bitstream(header, [TileCode(tile.tensors) for tile in stream.tiles], b"", stream.alpha)


def test_bytes_are_these():
    # The file format. A change that breaks this raises FORMAT_VERSION.
    stream, plan = golden()
    pinned = (
        "6952110baabbcc04ab02ac020301fbcf5bfb36dfd80008206102860e2048a163c08002081840a18388122858c1"
        "e0405c84c35b6ab7"
    )
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
        header = Header(LOSSLESS, b"abc", 32, 32, Colour.RGB)
        stream = Bitstream(header, [TileCode(codes)], b"\x01" * 900)
        n_bytes = len(pack(stream, TilePlan(model, (1024,))))
        overheads.append(n_bytes - 900 - LOSSLESS.coder.bits_per_step * steps.sum() / 8)
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
    for position in range(12, len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 0x10
        with pytest.raises(CorruptFileError):
            unpack(bytes(damaged), lambda header: plan)


def with_checksum(body: bytes) -> bytes:
    return body + zlib.crc32(body).to_bytes(4, "little")


def test_bytes_after_the_end_are_an_error():
    stream, plan = golden()
    data = pack(as_lossy(stream), plan)
    for rest in (b"\0", data):
        for allowed in (False, True):
            with pytest.raises(CorruptFileError, match=f"{len(rest)} bytes follow"):
                unpack(data + rest, lambda header: plan, allowed)
    # Even where the last four bytes would do.
    with pytest.raises(CorruptFileError, match="checksum"):
        unpack(with_checksum(data[:-4] + b"\0"), lambda header: plan)
    # The residual would take them in, but they change the checksum.
    data = pack(stream, plan)
    assert unpack(data + b"\0", lambda header: plan).pixel_checksum != stream.pixel_checksum


def large(profile: Profile) -> tuple[Bitstream, TilePlan]:
    """Metadata, alpha, two tiles or a stored image, and a residual whose length takes two bytes."""
    stream, plan = golden()
    fingerprint = stream.header.fingerprint[: profile.fingerprint_bytes]
    header = Header(profile, fingerprint, 17, 241, Colour.RGBA, has_metadata=True)
    if profile == STORED:
        return Bitstream(header, metadata=b"about", stored=bytes(range(200))), plan
    tiles, residual = stream.tiles, bytes(range(1, 201))
    if profile.is_lossy:
        tiles, residual = [TileCode(tile.tensors) for tile in tiles], b""
    alpha = bytes(range(9))
    return Bitstream(header, tiles, residual, alpha, metadata=b"about"), plan


@pytest.mark.parametrize("profile", [LOSSLESS, LATTICE, LOSSY, STORED])
def test_a_file_cut_anywhere_is_said_to_end_early(profile):
    stream, plan = large(profile)
    data = pack(stream, plan)
    kind = CorruptFileError if profile.is_lossy else TruncatedFileError
    for length in range(len(data)):
        with pytest.raises((kind, TruncatedFileError)) as caught:
            unpack(data[:length], lambda header: plan)
        assert re.search("ends early|ends inside its header|is empty", str(caught.value))


@pytest.mark.parametrize("profile", [LOSSLESS, LATTICE, LOSSY, STORED])
def test_a_file_with_more_behind_it_is_said_to_have_that(profile):
    stream, plan = large(profile)
    data = pack(stream, plan)
    for more in (b"\0", b"\r\n", data):
        with pytest.raises(CorruptFileError, match=f"{len(more)} bytes follow"):
            unpack(data + more, lambda header: plan)


@pytest.mark.parametrize("profile", [LOSSLESS, LATTICE])
def test_pixels_of_a_file_of_the_right_length_are_wrong_by_damage_alone(profile):
    stream, _ = large(profile)
    with pytest.raises(CorruptFileError, match=r"^the file is damaged: "):
        check_pixels(stream, np.zeros((4, 17, 241), np.uint8))
    stream, _ = golden()
    with pytest.raises(CorruptFileError, match=r"^the file ends too early, something follows"):
        check_pixels(stream, np.zeros((4, 5, 300), np.uint8))


def test_small_lossless_files_say_nothing_of_their_length():
    stream, plan = golden()
    for height, width, more_bits in ((5, 300, 0), (64, 64, 0), (64, 65, 8)):
        stream.header = replace(stream.header, height=height, width=width)
        pack(stream, plan)
        assert stream.sizes["residual"] == 8 * len(stream.residual) + more_bits


def test_a_large_lossy_image_has_a_byte_for_each_65536_pixels():
    header = Header(LOSSY, b"abc", 1024, 4100, Colour.RGB)
    stream = Bitstream(header, [TileCode([code(0, []) for _ in "abc"])])
    plan = TilePlan(SIDE_INFO, (1024 * 4160,))
    data = pack(stream, plan)
    assert len(data) == 65
    assert stream.sizes["filler"] > 0
    assert_equal(stream, unpack(data, lambda header: plan))
    with pytest.raises(TruncatedFileError, match="cannot hold"):
        unpack(data[:-1], lambda header: plan, allow_truncated=True)
    filled = with_checksum(data[:-5] + b"\1")
    with pytest.raises(CorruptFileError, match="filling"):
        unpack(filled, lambda header: plan)


@settings(max_examples=40)
@given(streams(), st.data())
def test_any_beginning_of_a_lossy_payload_gives_the_indices_in_it(case, data):
    stream, plan = case
    if not (stream.header.profile.is_lossy and plan.tile_pixels):
        return
    whole, sizes = pack(stream, plan), stream.sizes
    front = ("header", "metadata", "alpha", "side_info")
    front_bits = sum(sizes.get(name, 0) for name in front)
    shortest = shortest_beginning(unpack(whole, lambda header: plan))
    with pytest.raises(BitstreamError):
        unpack(whole[: shortest - 1], lambda header: plan, allow_truncated=True)
    length = data.draw(st.integers(shortest, len(whole)))
    part = unpack(whole[:length], lambda header: plan, allow_truncated=True)
    expected = [tensor for tile in stream.tiles for tensor in tile.tensors]
    found = [tensor for tile in part.tiles for tensor in tile.tensors]
    n_left = (8 * length - front_bits) // stream.header.profile.coder.bits_per_step
    for one, other in zip(found, expected, strict=True):
        assert (one.n_steps, one.rho_index) == (other.n_steps, other.rho_index)
        n_known = min(n_left, other.n_steps)
        assert torch.equal(one.indices, other.indices[:n_known])
        n_left -= n_known


def test_a_truncated_file_is_refused_unless_that_is_allowed():
    stream, plan = golden()
    lossy = as_lossy(stream)
    data = pack(lossy, plan)
    with pytest.raises(BitstreamError):
        unpack(data[:-2], lambda header: plan)
    assert not unpack(data[:-2], lambda header: plan, allow_truncated=True).is_whole
    # Whole but damaged: the checksum still counts.
    with pytest.raises(CorruptFileError, match="checksum"):
        unpack(data[:-2] + b"\xff\xff", lambda header: plan, allow_truncated=True)
    # What comes before the picture must be whole.
    before_alpha = lossy.sizes["header"] // 8
    with pytest.raises(TruncatedFileError, match="in its alpha"):
        unpack(data[: before_alpha + 2], lambda header: plan, allow_truncated=True)
    # A lossless file is of no use without its end.
    with pytest.raises(BitstreamError):
        unpack(pack(stream, plan)[:-8], lambda header: plan, allow_truncated=True)


def test_streams_that_contradict_themselves_are_refused():
    stream, plan = golden()
    grey = replace(stream.header, colour=Colour.GREY)
    wrong = [
        replace(stream, tiles=stream.tiles[:1]),
        replace(stream, alpha=None),
        replace(stream, header=grey),
        replace(stream, header=replace(stream.header, profile=LOSSY)),
        replace(stream, tiles=[replace(stream.tiles[0], grid_offset=16), stream.tiles[1]]),
        replace(stream, tiles=[replace(stream.tiles[0], tensors=[]), stream.tiles[1]]),
        replace(
            stream,
            tiles=[
                TileCode([code(9, [LOSSLESS.coder.candidates_per_step]), code(5, [1]), code(0, [])])
            ]
            * 2,
        ),
        replace(
            stream,
            tiles=[TileCode([TensorCode(3, 0, torch.zeros(2).long())] * 3), stream.tiles[1]],
        ),
    ]
    for one in wrong:
        with pytest.raises(InvalidParameterError):
            pack(one, plan)
