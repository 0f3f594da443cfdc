import pytest
import torch

from irec.models.mixtures import MixtureParameters


def some_mixtures(n=1, k=3, h=2, w=2):
    return MixtureParameters(
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
    many = MixtureParameters(
        one.base.expand(1, 3, 200, 200),
        one.mean.expand(1, 3, 3, 200, 200),
        one.log_scale.expand(1, 3, 3, 200, 200),
        one.coupling.expand(1, 3, 3, 200, 200),
        one.logit.expand(1, 3, 200, 200),
    )
    drawn = many.sample(torch.Generator().manual_seed(0))
    values = torch.arange(256.0)
    pixels = torch.zeros(1, 3, 1, 256)
    pixels[0, 0, 0] = values
    wide = MixtureParameters(
        one.base.expand(1, 3, 1, 256),
        one.mean.expand(1, 3, 3, 1, 256),
        one.log_scale.expand(1, 3, 3, 1, 256),
        one.coupling.expand(1, 3, 3, 1, 256),
        one.logit.expand(1, 3, 1, 256),
    )
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
    given = MixtureParameters(mixtures.base, mean, log_scale, mixtures.coupling, mixtures.logit)
    given.log_prob(torch.zeros(1, 3, 2, 2)).sum().backward()
    for gradient in (mean.grad, log_scale.grad):
        assert gradient is not None
        assert torch.isfinite(gradient).all()
