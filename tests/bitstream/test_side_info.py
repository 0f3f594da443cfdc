import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from irec.bitstream import SideInfoModel
from irec.bitstream.bits import BitReader, BitWriter
from irec.bitstream.side_info import MAX_STEPS, fold, read_side_info, unfold, write_side_info
from irec.errors import BitstreamError, CorruptFileError, InvalidParameterError

# The type checker looks at random items of a list, and hypothesis minds that.
pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module")

steps = st.integers(0, 200) | st.integers(0, MAX_STEPS)


@st.composite
def cases(draw: st.DrawFn) -> tuple[SideInfoModel, list[tuple[int, int]]]:
    n_tensors = draw(st.integers(0, 6))
    sized = {"min_size": n_tensors, "max_size": n_tensors}
    model = SideInfoModel(
        tuple(draw(st.lists(st.floats(0, MAX_STEPS) | st.floats(0, 100), **sized))),
        tuple(draw(st.lists(st.integers(0, 79), **sized))),
    )
    numbers = draw(st.lists(st.tuples(steps, st.integers(0, 79)), **sized))
    return model, [(n_steps, rho if n_steps else 0) for n_steps, rho in numbers]


def write(model: SideInfoModel, numbers: list[tuple[int, int]], tile_pixels: int) -> BitWriter:
    writer = BitWriter()
    write_side_info(writer, numbers, model, tile_pixels)
    return writer


@given(cases(), st.integers(1, 1 << 24))
def test_any_numbers_round_trip_whatever_is_usual(case, tile_pixels: int):
    model, numbers = case
    writer = write(model, numbers, tile_pixels)
    reader = BitReader(writer.to_bytes())
    assert read_side_info(reader, model, tile_pixels) == numbers
    assert reader.position == writer.n_bits
    assert writer.n_bits <= len(numbers) * (12 + 2 * 31 + 12 + 2 * 5)


@given(st.binary(max_size=30), cases())
def test_garbage_gives_numbers_in_range_or_a_typed_error(data: bytes, case):
    model, _ = case
    try:
        numbers = read_side_info(BitReader(data), model, 1024)
    except BitstreamError:
        return
    assert all(0 <= n <= MAX_STEPS and 0 <= rho < 80 for n, rho in numbers)


@given(st.integers(0, 1000))
def test_fold_is_a_permutation_that_keeps_the_prediction_cheap(prediction: int):
    codes = [fold(value, prediction) for value in range(2 * prediction + 20)]
    assert sorted(codes) == list(range(2 * prediction + 20))
    assert [unfold(code, prediction) for code in codes] == list(range(2 * prediction + 20))
    assert codes[prediction] == 0


def test_usual_numbers_cost_little():
    model = SideInfoModel((90.0, 60.0, 40.0, 25.0, 15.0, 8.0), (10, 12, 14, 9, 7, 5))
    usual = list(zip((90, 60, 40, 25, 15, 8), model.usual_rho, strict=True))
    assert write(model, usual, 1024).n_bits <= 30
    # Images differ in complexity (35 %), and each tensor a little (12 %): 5.3 bytes in the mean.
    rng = np.random.default_rng(0)
    sizes = []
    for _ in range(300):
        factors = np.exp(rng.normal(0, 0.35) + rng.normal(0, 0.12, 6))
        n_steps = np.rint(factors * model.usual_steps).astype(int).tolist()
        rho = (np.array(model.usual_rho) + np.rint(rng.normal(0, 1, 6)).astype(int)).tolist()
        sizes.append(write(model, list(zip(n_steps, rho, strict=True)), 1024).n_bits)
    assert np.mean(sizes) < 5.5 * 8


def test_an_unused_tensor_costs_one_bit_and_a_larger_tile_expects_more_steps():
    assert write(SideInfoModel((0.0,), (7,)), [(0, 0)], 1024).n_bits == 1
    model = SideInfoModel((50.0, 50.0), (3, 3))
    scaled = write(model, [(200, 3), (200, 3)], 4096).n_bits
    assert scaled < write(model, [(200, 3), (200, 3)], 1024).n_bits


def test_earlier_tensors_teach_the_later_ones():
    together = write(SideInfoModel((50.0,) * 8, (3,) * 8), [(100, 3)] * 8, 1024)
    alone = write(SideInfoModel((50.0,), (3,)), [(100, 3)], 1024)
    assert together.n_bits < 0.8 * 8 * alone.n_bits


def test_bits_are_these():
    model = SideInfoModel((90.0, 60.5, 0.0), (10, 31, 0))
    writer = write(model, [(77, 11), (70, 29), (0, 0)], 1500)
    assert (writer.n_bits, writer.to_bytes().hex()) == (24, "e6ee9c")


def test_a_rho_index_out_of_range_is_corrupt():
    model = SideInfoModel((0.0,), (0,))
    writer = BitWriter()
    writer.write_rice(5, 0)
    writer.write_rice(80, 0)
    with pytest.raises(CorruptFileError, match="rho index 80"):
        read_side_info(BitReader(writer.to_bytes()), model, 1024)


@pytest.mark.parametrize("numbers", [[], [(1, 80)], [(-1, 0)], [(MAX_STEPS + 1, 0)], [(0, 1)]])
def test_numbers_out_of_range_are_refused(numbers: list[tuple[int, int]]):
    with pytest.raises(InvalidParameterError):
        write(SideInfoModel((1.0,), (0,)), numbers, 1024)


@pytest.mark.parametrize(
    ("usual_steps", "usual_rho"),
    [((1.0,), ()), ((-1.0,), (0,)), ((float("nan"),), (0,)), ((1.0,), (80,))],
)
def test_models_out_of_range_are_refused(usual_steps, usual_rho):
    with pytest.raises(InvalidParameterError):
        SideInfoModel(usual_steps, usual_rho)
