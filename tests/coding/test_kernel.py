import os
import signal
import subprocess
import sys

import numba
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from irec.coding import CoderSettings, SearchSettings, encode_batch
from irec.coding.find_paths import find_together
from irec.coding.kernel import _compiled, _threshold, note_best, select_best


@pytest.mark.parametrize("order", ["block", "step"])
@pytest.mark.parametrize("dense_fraction", [0.0, 2.0])
@pytest.mark.parametrize(("n_beams", "n_candidates"), [(1, 16), (20, 16), (150, 16), (20, 128)])
def test_kernel_and_torch_find_the_same_paths(
    pairs, monkeypatch, order, dense_fraction, n_beams, n_candidates
):
    monkeypatch.setattr("irec.coding.find_paths._MAX_NOISE", 0.0)  # torch multiplies floats
    monkeypatch.setattr("irec.coding.plan._DENSE_FRACTION", dense_fraction)
    posterior, prior = pairs([12.0, 70.0, 150.0], 300)
    coder = CoderSettings(n_candidates, blocks_per_stream=5, order=order)
    search = SearchSettings(n_beams=n_beams)
    compiled = encode_batch(posterior, prior, 3, coder=coder, search=search)
    monkeypatch.setattr("irec.coding.find_paths._find_on_cores", find_together)
    reference = encode_batch(posterior, prior, 3, coder=coder, search=search)
    for one, other in zip(compiled, reference, strict=True):
        assert one.n_steps > 1
        assert torch.equal(one.indices, other.indices)


@pytest.mark.parametrize(
    ("n_beams", "n_candidates", "n_wanted"),
    [
        (1, 64, 100),
        (1, 64, 64),
        (1, 64, 5),
        (100, 64, 100),
        (7, 2, 10),
        (30, 256, 1),
        (3, 4, 12),
        (40, 256, 700),
    ],
)
@pytest.mark.parametrize("n_values", [1, 5, 10**6])
def test_selection_takes_the_largest_even_of_equals(n_beams, n_candidates, n_wanted, n_values):
    random = np.random.default_rng(0)
    n_rows = n_candidates // 2
    product, base, quadratic = (
        random.integers(-n_values, n_values, shape).astype(np.float32)
        for shape in ((n_beams, n_rows), n_beams, n_rows)
    )
    shared = base[:, None] + quadratic
    score = np.stack((shared + product, shared - product), 2).reshape(n_beams, n_candidates)
    best = np.empty((n_beams, min(8, n_rows)), np.float32)
    note_best(product, base, quadratic, best, 0, n_beams)
    parent, index = np.zeros((2, n_wanted), np.int32)
    found = np.zeros(n_wanted, np.float32)
    n = select_best(product, base, quadratic, best, n_wanted, parent, index, found)
    assert n == min(n_wanted, score.size)
    assert len(set(zip(parent[:n].tolist(), index[:n].tolist(), strict=True))) == n
    assert np.array_equal(score[parent[:n], index[:n]], found[:n])
    assert np.array_equal(np.sort(score[parent[:n], index[:n]]), np.sort(score.ravel())[-n:])


@given(
    st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=60),
    st.integers(1, 70),
    st.integers(0, 5),
)
def test_threshold_is_reached_by_as_many_as_are_wanted(values, n_wanted, n_spare):
    values = np.array(values, np.float32)
    bound = _threshold(values, n_wanted, n_spare)
    n_reaching = int((values >= bound).sum())
    if n_wanted > len(values):
        assert bound == -np.inf
    else:
        assert n_reaching >= n_wanted
        # More than are spare only where they are equal.
        assert n_reaching <= n_wanted + n_spare or (values > bound).sum() < n_wanted


def test_without_a_place_for_its_cache_the_kernel_compiles_all_the_same(monkeypatch):
    njit = numba.njit

    def njit_without_cache(*args, cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return njit(*args, **options)

    monkeypatch.setattr(numba, "njit", njit_without_cache)
    assert _compiled("int64(int64)")(lambda x: x + 1)(41) == 42


def test_ctrl_c_during_a_search_comes_as_itself(pairs, monkeypatch):
    posterior, prior = pairs([150.0], 300)

    def search_on():
        for seed in range(1000):
            encode_batch(posterior, prior, seed, search=SearchSettings(n_beams=4096))

    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)  # searches in this very thread
    encode_batch(posterior, prior, 3)
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    try:
        with pytest.raises(KeyboardInterrupt):
            search_on()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.slow
def test_the_kernel_compiles_for_processors_that_multiply_no_bytes(tmp_path):
    program = """
import torch
from torch.distributions import Normal
from irec.coding import decode, encode
from irec.coding.byte_product import HAS_BYTE_PRODUCTS
assert not HAS_BYTE_PRODUCTS
posterior = Normal(torch.linspace(-2.0, 2.0, 40).double(), torch.full((40,), 0.1).double())
prior = Normal(torch.zeros(40).double(), torch.ones(40).double())
z = decode(encode(posterior, prior, 0), prior, 0)
assert ((z - posterior.loc) / posterior.scale).abs().max() < 6.0
"""
    generic = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "", "NUMBA_CACHE_DIR": tmp_path}
    environment = {**os.environ, **{name: str(value) for name, value in generic.items()}}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)


def test_decoding_needs_no_compiler():
    program = """
import sys, torch
from torch.distributions import Normal
from irec.coding import TensorCode, decode
prior = Normal(torch.zeros(40), torch.ones(40))
decode(TensorCode(3, 1, torch.tensor([1, 2, 3])), prior, seed=0)
assert "numba" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)
