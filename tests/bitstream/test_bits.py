import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from irec.bitstream.bits import MAX_FIELD_BITS, RICE_ESCAPE, BitReader, BitWriter
from irec.errors import CorruptFileError, InvalidParameterError, TruncatedFileError

widths = st.integers(0, MAX_FIELD_BITS)
fields = widths.flatmap(lambda w: st.tuples(st.integers(0, (1 << w) - 1), st.just(w)))
rice = st.tuples(
    st.one_of(st.integers(0, 300), st.integers(0, (1 << (MAX_FIELD_BITS - 1)) - 1)),
    st.integers(0, 40),
)


@given(st.lists(st.one_of(fields.map(lambda f: ("field", *f)), rice.map(lambda f: ("rice", *f)))))
def test_fields_and_rice_codes_round_trip_in_any_mixture(items: list[tuple[str, int, int]]):
    writer = BitWriter()
    for kind, value, size in items:
        (writer.write if kind == "field" else writer.write_rice)(value, size)
    data = writer.to_bytes()
    assert len(data) == -(-writer.n_bits // 8)
    reader = BitReader(data)
    for kind, value, size in items:
        assert (reader.read(size) if kind == "field" else reader.read_rice(size)) == value
    assert reader.position == writer.n_bits
    reader.align()
    assert reader.position == 8 * len(data)
    assert reader.bits_left == 0


@given(st.integers(1, 24), st.integers(0, 50), st.integers(0, 7), st.randoms())
def test_arrays_round_trip_at_any_bit_position(width: int, count: int, lead: int, random):
    values = np.array([random.randrange(1 << width) for _ in range(count)], dtype=np.int64)
    writer = BitWriter()
    writer.write(0, lead)
    writer.write_array(values, width)
    assert writer.n_bits == lead + width * count
    reader = BitReader(writer.to_bytes())
    reader.read(lead)
    read = reader.read_array(count, width)
    assert read.dtype == np.int64
    np.testing.assert_array_equal(read, values)


def test_most_significant_bit_comes_first():
    writer = BitWriter()
    writer.write(0b101, 3)
    writer.write_array(np.array([1, 2, 3]), 2)
    writer.write_rice(5, 1)  # quotient 2: 110, remainder 1
    assert writer.to_bytes() == bytes([0b10101101, 0b11101000])


@pytest.mark.parametrize("parameter", [0, 3, 12])
def test_rice_codes_grow_logarithmically_after_the_escape(parameter: int):
    writer = BitWriter()
    writer.write_rice((1 << 61) - 1, parameter)
    assert writer.n_bits <= RICE_ESCAPE + 2 * 61
    short = BitWriter()
    short.write_rice((RICE_ESCAPE << parameter) - 1, parameter)
    assert short.n_bits == RICE_ESCAPE + parameter


def test_reading_past_the_end_is_truncation_and_allocates_nothing():
    tracemalloc.start()
    with pytest.raises(TruncatedFileError, match="8 are left"):
        BitReader(b"\x00").read_array(1 << 40, 6)
    assert tracemalloc.get_traced_memory()[1] < 100_000
    tracemalloc.stop()
    with pytest.raises(TruncatedFileError):
        BitReader(b"\xff").read_rice(0)


def test_an_escaped_number_longer_than_any_writer_makes_is_corrupt():
    with pytest.raises(CorruptFileError):
        BitReader(b"\xff\xf0" + bytes(20)).read_rice(0)


def test_padding_that_is_not_zero_is_corrupt():
    reader = BitReader(b"\x81")
    reader.read(3)
    with pytest.raises(CorruptFileError):
        reader.align()


@pytest.mark.parametrize(("values", "width"), [([4], 2), ([-1], 8), ([0], 63), ([0], -1), ([1], 0)])
def test_values_that_do_not_fit_are_refused(values: list[int], width: int):
    with pytest.raises(InvalidParameterError):
        BitWriter().write_array(np.array(values), width)


@pytest.mark.parametrize(("value", "parameter"), [(-1, 0), (1 << 61, 0), (0, 41), (0, -1)])
def test_rice_codes_out_of_range_are_refused(value: int, parameter: int):
    with pytest.raises(InvalidParameterError):
        BitWriter().write_rice(value, parameter)
