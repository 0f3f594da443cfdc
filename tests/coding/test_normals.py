import math
import zlib
from statistics import NormalDist

import pytest
import torch

from irec.coding.normals import normal_table, normals_from_words
from irec.coding.shared_randomness import (
    SIGN_POOL_SIZE,
    SharedRandomness,
    extend_hash,
    sign_pool_row,
)
from irec.errors import InvalidParameterError

CPU = torch.device("cpu")
TABLE_CRC = 0x9A4E1B18


def draw(seed=1, tensor=0, step=0, row=0, n=4096):
    randomness = SharedRandomness(seed, tensor, CPU)
    groups = torch.arange(n // 8)
    return randomness.codebook(torch.tensor(step), torch.tensor(row), groups).flatten().double()


def test_table_is_pinned_to_the_bit():
    # Files depend on every entry. If this fails on some machine, decoding there is broken.
    assert zlib.crc32(normal_table(CPU).numpy().astype("<f4").tobytes()) == TABLE_CRC


def test_table_holds_the_normal_quantiles():
    table = normal_table(CPU).double()
    assert torch.equal(table, -table.flip(0))
    assert bool((table.diff() >= 0).all())
    assert float(table.square().mean()) == pytest.approx(1.0, abs=1e-7)
    for j in range(0, 65536, 331):
        quantile = NormalDist().inv_cdf((j + 0.5) / 65536)
        assert float(table[j]) == pytest.approx(quantile, rel=3e-5)


def test_words_become_normals_low_halves_first():
    words = torch.tensor([0x0001_0000, 0, 0, 0xFFFF_8000]).view(4, 1)
    table = normal_table(CPU)
    expected = table[torch.tensor([0, 0, 0, 0x8000, 1, 0, 0, 0xFFFF])]
    assert torch.equal(normals_from_words(words), expected.view(1, 8))


def test_draws_are_standard_normal():
    numbers = draw(n=1 << 18)
    assert abs(float(numbers.mean())) < 4 / math.sqrt(numbers.numel())
    assert float(numbers.var()) == pytest.approx(1.0, abs=0.012)
    assert float(numbers.pow(4).mean()) == pytest.approx(3.0, abs=0.08)


@pytest.mark.parametrize(
    "other",
    [{"seed": 2}, {"seed": 1 + (1 << 32)}, {"tensor": 1}, {"step": 1}, {"row": 1}],
)
def test_draws_of_other_coordinates_are_uncorrelated(other):
    here, there = draw(n=1 << 16), draw(n=1 << 16, **other)
    assert abs(float((here * there).mean())) < 4.5 / math.sqrt(here.numel())
    squares = (here.square() - 1) * (there.square() - 1) / 2
    assert abs(float(squares.mean())) < 4.5 / math.sqrt(here.numel())


def test_draws_are_a_function_of_their_coordinates_alone():
    randomness = SharedRandomness(5, 3, CPU)
    steps, rows = torch.arange(3).view(-1, 1, 1), torch.arange(4).view(-1, 1)
    together = randomness.codebook(steps, rows, torch.arange(6))
    alone = randomness.codebook(torch.tensor(2), torch.tensor(1), torch.tensor(4))
    assert torch.equal(together[2, 1, 4], alone)


def test_path_hash_spreads_paths_over_the_sign_pool():
    hashes = SharedRandomness(0, 0, CPU).first_hash(torch.arange(64)).unsqueeze(1)
    for _ in range(2):
        hashes = extend_hash(hashes.unsqueeze(-1), torch.arange(64)).flatten(1)
    assert int(hashes.min()) >= 0
    assert int(hashes.max()) < 1 << 32
    counts = torch.bincount(sign_pool_row(hashes.flatten()), minlength=SIGN_POOL_SIZE)
    assert counts.numel() == SIGN_POOL_SIZE
    expected = hashes.numel() / SIGN_POOL_SIZE
    assert float((counts - expected).square().sum() / expected) < 1200  # chi^2, 5 sigma: 1250


def test_path_hash_of_integers_is_that_of_tensors():
    assert extend_hash(0xFFFFFFFF, 63) == int(
        extend_hash(torch.tensor(0xFFFFFFFF), torch.tensor(63))
    )


@pytest.mark.parametrize(("seed", "tensor"), [(-1, 0), (1 << 64, 0), (0, -1), (0, 1 << 28)])
def test_seeds_and_tensors_out_of_range_are_refused(seed, tensor):
    with pytest.raises(InvalidParameterError):
        SharedRandomness(seed, tensor, CPU)
