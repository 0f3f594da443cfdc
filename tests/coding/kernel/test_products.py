"""Products of floats and of bytes: exact, and good enough to choose by."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from irec.coding import CoderSettings, SearchSettings, decode, encode_batch
from irec.coding.kernel.products import (
    BEAMS_AT_ONCE,
    HAS_BYTE_PRODUCTS,
    ROWS_AT_ONCE,
    multiply_bytes,
    multiply_floats,
    tiles,
)
from irec.coding.kernel.scores import rows_to_bytes
from irec.coding.kernel.selection import GROUPS

with_byte_products = pytest.mark.skipif(
    not HAS_BYTE_PRODUCTS, reason="the processor multiplies no bytes (AVX-512 VNNI)"
)


def in_tiles(rows, at_once):
    """Rows [R, A], so many numbers at once: [tiles, A / at once, rows of a tile, at once]."""
    n_tiles, n_rows = tiles(len(rows))
    parts = rows.reshape(n_tiles, n_rows, -1, at_once).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(parts)


def best_scores(product, base, quadratic):
    score = (base[:, None] + quadratic) + np.abs(product)
    n_groups = min(GROUPS, score.shape[1])
    return score.reshape(len(score), -1, n_groups).max(1)


@pytest.mark.parametrize("n_dims", [4, 60])
@pytest.mark.parametrize("n_rows", [1, 8, 32, ROWS_AT_ONCE, 2 * ROWS_AT_ONCE])
def test_products_of_floats(n_dims, n_rows):
    random = np.random.default_rng(n_dims)
    n_beams = 3 * BEAMS_AT_ONCE
    beams, rows, base, quadratic = (
        random.normal(size=shape).astype(np.float32)
        for shape in ((n_beams, n_dims), (n_rows, n_dims), n_beams, n_rows)
    )
    out = np.empty((n_beams, n_rows), np.float32)
    best = np.empty((n_beams, min(GROUPS, n_rows)), np.float32)
    multiply_floats(beams, in_tiles(rows, 1)[..., 0], base, quadratic, out, best)
    np.testing.assert_allclose(out, beams.astype(float) @ rows.T, rtol=1e-5, atol=1e-5)
    # What selects computes them again, and must find the same.
    assert np.array_equal(best, best_scores(out, base, quadratic))


@pytest.mark.parametrize("n_quads", [1, 2, 25])
@pytest.mark.parametrize("n_rows", [ROWS_AT_ONCE, 2 * ROWS_AT_ONCE])
def test_products_of_bytes_are_those_of_integers(n_quads, n_rows):
    random = np.random.default_rng(n_quads)
    n_beams = 3 * BEAMS_AT_ONCE
    pulls = random.integers(-128, 128, (n_beams, 4 * n_quads))
    rows = random.integers(-127, 128, (n_rows, 4 * n_quads))
    factor, base, quadratic = (
        random.uniform(0.5, 2.0, n).astype(np.float32) for n in (n_beams, n_beams, n_rows)
    )
    out, best = (np.empty((n_beams, n), np.float32) for n in (n_rows, GROUPS))
    multiply_bytes(
        (pulls + 128).astype(np.uint8),
        in_tiles(rows.astype(np.int8), 4),
        (-128 * rows.sum(1)).astype(np.int32),
        factor,
        base,
        quadratic,
        out,
        best,
    )
    assert np.array_equal(out, (pulls @ rows.T).astype(np.float32) * factor[:, None])
    assert np.array_equal(best, best_scores(out, base, quadratic))


def test_rows_become_the_nearest_bytes():
    rows = np.random.default_rng(0).normal(size=(64, 8)).astype(np.float32)
    rows[0, 0], rows[1, 0] = 5.0, -5.0  # beyond what bytes hold
    n_tiles, n_rows = tiles(64)
    row_bytes, shift = np.zeros((n_tiles, 2, n_rows, 4), np.int8), np.zeros(64, np.int32)
    rows_to_bytes(2.0 * rows, np.float32(2.0), row_bytes, shift)
    found = row_bytes.transpose(0, 2, 1, 3).reshape(64, 8)
    assert np.abs(found / 30.0 - rows.clip(-127 / 30, 127 / 30)).max() <= 0.5 / 30.0 + 1e-6
    assert np.array_equal(shift, -128 * found.astype(np.int32).sum(1))


@with_byte_products
@pytest.mark.parametrize("order", ["block", "step"])
def test_choosing_by_bytes_loses_no_more_than_by_floats(monkeypatch, order):
    generator = torch.Generator().manual_seed(0)
    mean = torch.randn(24, 300, generator=generator, dtype=torch.float64)
    scale = torch.rand(24, 300, generator=generator, dtype=torch.float64) * 0.9 + 0.1
    posterior, prior = Normal(mean, scale), Normal(torch.zeros_like(mean), torch.ones_like(mean))
    coder = CoderSettings(order=order)
    search = SearchSettings(n_beams=32, negligible_kl_fraction=0.0)
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


@with_byte_products
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
