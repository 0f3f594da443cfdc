import math

import pytest
import torch

from irec.models.likelihoods import (
    MAX_LOG_SCALE,
    MIN_LOG_SCALE,
    ConditionalLogistic,
    Logistic,
    LogisticParameters,
    make_likelihood,
)


def parameters(mean, log_scale, coupling=None):
    shape = (1, 3, 1, 1)
    tensors = [
        torch.tensor(v, dtype=torch.float64).expand(3).reshape(shape) for v in (mean, log_scale)
    ]
    if coupling is not None:
        coupling = torch.tensor(coupling, dtype=torch.float64).reshape(shape)
    return LogisticParameters(
        *(None if one is None else one[:, None] for one in (*tensors, coupling))
    )


@pytest.mark.parametrize("mean", [-300.0, -0.5, 0.0, 17.3, 254.9, 255.5, 700.0])
@pytest.mark.parametrize("log_scale", [MIN_LOG_SCALE, -1.0, 0.0, 2.0, MAX_LOG_SCALE])
def test_probabilities_of_all_values_sum_to_one(mean, log_scale):
    values = torch.arange(256, dtype=torch.float64).reshape(256, 1, 1, 1).expand(256, 3, 1, 1)
    one = parameters(mean, log_scale)
    wide = values[:, None]
    every = LogisticParameters(one.mean.expand_as(wide), one.log_scale.expand_as(wide))
    total = every.log_prob(values, 1).exp().sum(0)
    torch.testing.assert_close(total, torch.ones_like(total), atol=1e-12, rtol=0)


def test_log_prob_equals_the_difference_of_logistic_functions():
    mean, scale, value = 100.3, 2.5, 103.0
    expected = math.log(
        1 / (1 + math.exp(-(value + 0.5 - mean) / scale))
        - 1 / (1 + math.exp(-(value - 0.5 - mean) / scale))
    )
    found = parameters(mean, math.log(scale)).log_prob(torch.full((1, 3, 1, 1), value).double())
    assert found.item() == pytest.approx(3 * expected, rel=1e-10)


def test_far_tails_have_finite_log_prob_and_gradient():
    mean = torch.zeros(1, 1, 3, 1, 1, requires_grad=True)
    log_scale = torch.full((1, 1, 3, 1, 1), MIN_LOG_SCALE, requires_grad=True)
    pixels = torch.full((1, 3, 1, 1), 254.0)
    LogisticParameters(mean, log_scale).log_prob(pixels).sum().backward()
    assert torch.isfinite(mean.grad).all()
    assert torch.isfinite(log_scale.grad).all()


def test_green_and_blue_follow_the_channels_before_them():
    given = parameters(100.0, 0.0, coupling=[0.5, 0.25, 2.0])
    pixels = torch.tensor([137.5, 117.5, 0.0], dtype=torch.float64).reshape(1, 3, 1, 1)
    means = given.conditional_mean(pixels).flatten().tolist()
    assert means == [100.0, 100.0 + 0.5 * 10.0, 100.0 + 0.25 * 10.0 + 2.0 * -10.0]


def test_marginal_means_are_hit_when_the_channels_before_are_at_theirs():
    raw = torch.randn(1, 9, 2, 2, dtype=torch.float64)
    raw[:, :3] *= 0.2
    given = ConditionalLogistic()(raw)
    marginal = 256.0 * (raw[:, :3] + 0.5) - 0.5
    torch.testing.assert_close(given.conditional_mean(marginal)[:, 0], marginal)


def test_papers_likelihood_has_one_scale_and_no_coupling():
    given = Logistic()(torch.zeros(2, 3, 4, 4))
    assert given.coupling is None
    assert given.log_scale.unique().numel() == 1
    assert given.mean.unique().tolist() == [127.5]


@pytest.mark.parametrize("raw", [-1e6, 1e6])
def test_log_scale_stays_within_its_bounds(raw):
    given = ConditionalLogistic()(torch.full((1, 9, 1, 1), raw))
    assert given.log_scale.min() >= MIN_LOG_SCALE
    assert given.log_scale.max() <= MAX_LOG_SCALE


def test_unknown_likelihood_is_named():
    with pytest.raises(ValueError, match="gaussian"):
        make_likelihood("gaussian")


def some_mixtures(n=1, k=3, h=2, w=2):
    return LogisticParameters(
        base=torch.full((n, 3, h, w), 100.25),
        mean=torch.empty(n, k, 3, h, w).uniform_(0, 255),
        log_scale=torch.empty(n, k, 3, h, w).uniform_(-1, 3),
        coupling=torch.empty(n, k, 3, h, w).uniform_(-1, 1),
        logit=torch.randn(n, k, h, w),
    )


@pytest.mark.parametrize("colour", [0, 1, 2])
def test_probabilities_of_each_colour_given_those_before_sum_to_one(colour):
    mixtures = some_mixtures()
    pixels = torch.randint(0, 256, (1, 3, 2, 2)).float()
    before = mixtures.log_prob(pixels, colour).exp() if colour else torch.ones(1, 2, 2)
    total = torch.zeros(1, 2, 2)
    for value in range(256):
        pixels[:, colour] = value
        total += mixtures.log_prob(pixels, colour + 1).exp()
    torch.testing.assert_close(total / before, torch.ones(1, 2, 2), rtol=1e-4, atol=0)


def test_samples_follow_the_distribution():
    one = some_mixtures(h=1, w=1)
    many = one.each(lambda part: part.expand(*part.shape[:-2], 200, 200))
    drawn = many.sample(torch.Generator().manual_seed(0))
    values = torch.arange(256.0)
    pixels = torch.zeros(1, 3, 1, 256)
    pixels[0, 0, 0] = values
    wide = one.each(lambda part: part.expand(*part.shape[:-2], 1, 256))
    red = wide.log_prob(pixels, 1)[0, 0].exp()
    observed = torch.bincount(drawn[0, 0].flatten().long(), minlength=256) / 40_000
    # Total variation of 40,000 draws from at most 256 values: about 0.02 at the most.
    assert 0.5 * (observed - red).abs().sum() < 0.04
    # Surprise of the drawn pixels is the entropy, and cannot be that of other distributions.
    shuffled = drawn.flip(1)
    assert many.log_prob(drawn).mean() > many.log_prob(shuffled).mean() + 0.1


def test_gradients_are_finite_far_in_the_tails():
    mixtures = some_mixtures()
    mean = torch.full((1, 3, 3, 2, 2), 250.0, requires_grad=True)
    log_scale = torch.full((1, 3, 3, 2, 2), -4.0, requires_grad=True)
    given = LogisticParameters(mean, log_scale, mixtures.coupling, mixtures.logit, mixtures.base)
    given.log_prob(torch.zeros(1, 3, 2, 2)).sum().backward()
    for gradient in (mean.grad, log_scale.grad):
        assert gradient is not None
        assert torch.isfinite(gradient).all()
