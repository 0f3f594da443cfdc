"""Products of bytes: exact, and good enough to choose by."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from irec.coding import CoderSettings, SearchSettings, decode, encode_batch
from irec.coding.byte_product import BEAMS_AT_ONCE, HAS_BYTE_PRODUCTS, ROWS_AT_ONCE
from irec.coding.kernel import _multiply_bytes, _rows_to_bytes

pytestmark = pytest.mark.skipif(
    not HAS_BYTE_PRODUCTS, reason="the processor multiplies no bytes (AVX-512 VNNI)"
)


@pytest.mark.parametrize("n_quads", [1, 2, 25])
@pytest.mark.parametrize("n_rows", [ROWS_AT_ONCE, 2 * ROWS_AT_ONCE])
def test_products_are_those_of_integers(n_quads, n_rows):
    random = np.random.default_rng(n_quads)
    n_beams = 3 * BEAMS_AT_ONCE
    pulls = random.integers(-128, 128, (n_beams, 4 * n_quads))
    rows = random.integers(-127, 128, (n_rows, 4 * n_quads))
    by_quads = rows.reshape(n_rows, n_quads, 4).transpose(1, 0, 2)
    factor = random.uniform(0.5, 2.0, n_beams).astype(np.float32)
    out = np.empty((n_beams, n_rows), np.float32)
    _multiply_bytes(
        (pulls + 128).astype(np.uint8),
        np.ascontiguousarray(by_quads.astype(np.int8)),
        (-128 * rows.sum(1)).astype(np.int32),
        factor,
        out,
    )
    assert np.array_equal(out, (pulls @ rows.T).astype(np.float32) * factor[:, None])


def test_rows_become_the_nearest_bytes():
    rows = np.random.default_rng(0).normal(size=(64, 8)).astype(np.float32)
    rows[0, 0], rows[1, 0] = 5.0, -5.0  # beyond what bytes hold
    row_bytes, shift = np.zeros((2, 64, 4), np.int8), np.zeros(64, np.int32)
    _rows_to_bytes(2.0 * rows, 2.0, row_bytes, shift)
    found = row_bytes.transpose(1, 0, 2).reshape(64, 8)
    assert np.abs(found / 30.0 - rows.clip(-127 / 30, 127 / 30)).max() <= 0.5 / 30.0 + 1e-6
    assert np.array_equal(shift, -128 * found.astype(np.int32).sum(1))


@pytest.mark.parametrize("order", ["block", "step"])
def test_choosing_by_bytes_loses_no_more_than_by_floats(monkeypatch, order):
    generator = torch.Generator().manual_seed(0)
    mean = torch.randn(24, 300, generator=generator, dtype=torch.float64)
    scale = torch.rand(24, 300, generator=generator, dtype=torch.float64) * 0.9 + 0.1
    posterior, prior = Normal(mean, scale), Normal(torch.zeros_like(mean), torch.ones_like(mean))
    coder, search = CoderSettings(order=order), SearchSettings(n_beams=32)
    kl = kl_divergence(posterior, prior).sum(1)
    losses = []
    for most_noise in (0.1, 0.0):
        monkeypatch.setattr("irec.coding.find_paths._MAX_NOISE", most_noise)
        codes = encode_batch(posterior, prior, 1, coder=coder, search=search)
        sent = torch.tensor([code.n_bits(coder) * math.log(2.0) for code in codes])
        found = torch.tensor([code.log_ratio_nats for code in codes])
        losses.append((sent - found) / kl)
        for n, code in enumerate(codes):
            own = Normal(mean[n], scale[n])
            z = decode(code, Normal(prior.loc[n], prior.scale[n]), 1, coder=coder)
            ratio = own.log_prob(z) - Normal(0.0, 1.0).log_prob(z)
            # What is told of a sample is what it is, however it was chosen.
            assert float(ratio.sum()) == pytest.approx(code.log_ratio_nats, abs=0.05)
    by_bytes, by_floats = losses
    assert not torch.equal(by_bytes, by_floats)
    error = (by_bytes - by_floats).std() / math.sqrt(len(by_bytes))
    assert float((by_bytes - by_floats).mean()) < 3.0 * float(error)


def test_dense_posteriors_are_searched_in_floats(monkeypatch):
    # Their scores are sums of thousands of nats, of which bytes would leave nothing to choose by.
    mean = torch.randn(1, 40, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    posterior = Normal(mean, torch.full_like(mean, 1e-3))
    prior = Normal(torch.zeros_like(mean), torch.ones_like(mean))
    search = SearchSettings(n_beams=64)
    ratios = []
    for most_noise in (0.1, 0.0):
        monkeypatch.setattr("irec.coding.find_paths._MAX_NOISE", most_noise)
        (code,) = encode_batch(posterior, prior, 1, search=search)
        ratios.append(code.log_ratio_nats)
    assert ratios[0] == pytest.approx(ratios[1], abs=30.0)
