"""Callers know nothing of blocks: posteriors of any density are sampled, or `encode` says so."""

import math
from dataclasses import replace

import pytest
import torch
from torch.distributions import Normal

from irec.coding import (
    CoderSettings,
    SearchSettings,
    TensorCode,
    decode,
    encode,
    kl_nats,
    log_ratio_nats,
)
from irec.errors import CorruptFileError

CODER = CoderSettings()
IMAGES = replace(CODER, doubles_blocks=False)


def posterior_of(kl_per_dim, n_dims, seed):
    """Dimensions of one scale, their means spread as their priors expect."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(n_dims, generator=generator, dtype=torch.float64)
    low, high = -25.0, 0.0
    for _ in range(60):  # bisection on the scale's logarithm
        middle = 0.5 * (low + high)
        variance = math.exp(2.0 * middle)
        mean = noise * math.sqrt(1.0 - variance)
        kl = 0.5 * (float(mean.square().mean()) + variance - 1.0) - middle
        low, high = (low, middle) if kl < kl_per_dim else (middle, high)
    return mean, torch.full_like(mean, math.exp(middle))


def code_and_sample(mean, scale, seed=1, coder=CODER):
    posterior = Normal(mean, scale)
    prior = Normal(torch.zeros_like(mean), torch.ones_like(mean))
    code = encode(posterior, prior, seed, coder=coder)
    z = decode(code, prior, seed, coder=coder)
    return code, z, posterior, prior


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("kl_per_dim", "n_dims"),
    [(0.01, 30_000), (0.1, 3_000), (1.0, 400), (2.0, 300), (4.7, 200), (7.0, 130), (10.0, 128)],
)
def test_dense_and_diffuse_posteriors_lose_a_tenth_at_most(kl_per_dim, n_dims):
    losses, deviations = [], []
    for seed in range(3 if n_dims < 1000 else 1):
        mean, scale = posterior_of(kl_per_dim, n_dims, seed)
        code, z, posterior, prior = code_and_sample(mean, scale)
        log_ratio = float(log_ratio_nats(z, posterior, prior))
        assert code.log_ratio_nats == pytest.approx(log_ratio, rel=0.01)
        sent = code.n_bits(CODER) * math.log(2.0)
        losses.append((sent - log_ratio) / float(kl_nats(posterior, prior)))
        deviations.append((z - mean) / scale)
    together = torch.cat(deviations)
    assert sum(losses) / len(losses) < 0.10
    assert abs(float(together.mean())) < 4.0 / math.sqrt(together.numel())
    assert 0.6 < float(together.square().mean()) < 1.4
    assert float(together.abs().max()) < 7.0


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("scale_of_hot", [1e-3, 0.3])
def test_a_hot_dimension_among_calm_ones_gets_longer_blocks(scale_of_hot):
    wastes = []
    for seed in range(6):
        mean, scale = posterior_of(0.05, 1000, seed)
        scale[500] = scale_of_hot
        mean[500] = math.sqrt(2.0 * (40.0 + math.log(scale_of_hot)) + 1.0)
        code, z, posterior, prior = code_and_sample(mean, scale)
        assert code.block_doublings > 0
        assert abs(float(z[500] - mean[500])) < 4.5 * scale_of_hot
        log_ratio = float(log_ratio_nats(z, posterior, prior))
        # But for dimensions that hardly matter, and stay random.
        assert code.log_ratio_nats == pytest.approx(log_ratio, rel=0.03)
        sent = code.n_bits(CODER) * math.log(2.0)
        wastes.append((sent - log_ratio) / float(kl_nats(posterior, prior)))
    assert sum(wastes) / len(wastes) < 0.12


def test_where_codes_have_no_place_for_it_blocks_are_as_long_as_usual():
    mean, scale = posterior_of(0.05, 1000, 0)
    scale[500], mean[500] = 1e-3, 8.0
    code, z, *_ = code_and_sample(mean, scale, coder=IMAGES)
    assert code.block_doublings == 0
    assert z.shape == mean.shape


def test_a_sample_that_misses_is_not_passed_over_in_silence():
    mean = torch.tensor([60.0, -60.0], dtype=torch.float64)
    with pytest.warns(UserWarning, match="miss"):
        code, *_ = code_and_sample(mean, torch.full_like(mean, 1e-6))
    assert code.log_ratio_nats is not None
    assert code.log_ratio_nats < 1800.0


def test_effort_is_expected_to_pay():
    losses = [SearchSettings.from_effort(effort).expected_loss(CODER) for effort in (1, 5, 9)]
    assert losses == pytest.approx([0.111, 0.066, 0.044], abs=0.001)


@pytest.mark.parametrize(("doublings", "coder"), [(-1, CODER), (9, CODER), (1, IMAGES)])
def test_blocks_that_are_impossibly_long_are_corrupt(doublings, coder):
    prior = Normal(torch.zeros(5), torch.ones(5))
    code = TensorCode(0, 0, torch.zeros(0, dtype=torch.int64), block_doublings=doublings)
    with pytest.raises(CorruptFileError, match=f"doubled {doublings} times"):
        decode(code, prior, 0, coder=coder)


@pytest.mark.parametrize("scale", [1e-4, 1e-5, 1e-6])
def test_the_log_ratio_that_a_code_tells_is_its_samples(scale):
    """Where a last step is much wider than the posterior, float32 tells the search anything."""
    mean = torch.tensor([math.sqrt(2.0 * (40.0 + math.log(scale)) + 1.0)], dtype=torch.float64)
    for seed in range(3):
        code, z, posterior, prior = code_and_sample(mean, torch.full_like(mean, scale), seed)
        log_ratio = float(log_ratio_nats(z, posterior, prior))
        assert code.log_ratio_nats == pytest.approx(log_ratio, rel=1e-6)


@pytest.mark.filterwarnings("error")
def test_few_nats_are_searched_again_until_their_whole_steps_fit():
    losses = []
    for seed in range(8):
        mean, scale = posterior_of(0.04, 1000, seed)
        code, z, posterior, prior = code_and_sample(mean, scale, seed)
        sent = code.n_bits(CODER) * math.log(2.0)
        waste = sent - float(log_ratio_nats(z, posterior, prior))
        losses.append(waste / float(kl_nats(posterior, prior)))
    # Searched once, these eight lose 7.6 %.
    assert sum(losses) / len(losses) < 0.07
