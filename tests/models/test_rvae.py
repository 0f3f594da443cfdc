import pytest
import torch
from torch.distributions import Normal

from irec.models.rvae import RVAE, RVAEConfig
from irec.models.sources import PosteriorSampler, PriorSampler
from irec.models.weight_norm import data_dependent_initialisation


def small_model(likelihood="conditional_logistic"):
    torch.manual_seed(0)
    model = RVAE(RVAEConfig(3, 8, 2, likelihood))
    pixels = torch.randint(0, 256, (8, 3, 16, 16)).float()
    with torch.no_grad(), data_dependent_initialisation(model):
        model(pixels, PosteriorSampler())
    return model


class Replay:
    """Hands out recorded latent tensors, and records what it was asked."""

    def __init__(self, values):
        self.values = list(values)
        self.priors = []

    def __call__(self, prior, posterior, tensor):
        self.priors.append(prior)
        return self.values[tensor]


@pytest.mark.parametrize("likelihood", ["logistic", "conditional_logistic"])
def test_generation_without_evidence_repeats_the_pass_that_had_it(likelihood):
    model = small_model(likelihood).double()
    pixels = torch.randint(0, 256, (2, 3, 10, 14)).double()
    taken = []

    def source(prior: Normal, posterior: Normal | None, tensor: int):
        taken.append(posterior.loc + 0.5 * posterior.scale)
        return taken[-1]

    with torch.no_grad():
        encoder_side = model(pixels, source)
        decoder_side = model.generate(Replay(taken), None, 2, 10, 14)
    assert torch.equal(encoder_side.mean, decoder_side.mean)
    assert torch.equal(encoder_side.log_scale, decoder_side.log_scale)


def test_latent_tensors_have_the_announced_number_and_shape():
    model = small_model()
    source = PosteriorSampler()
    model(torch.zeros(2, 3, 6, 8), source)
    assert len(source.kl_nats) == model.n_latent_tensors == 3
    assert {kl.shape[1:] for kl in source.kl_nats} == {model.latent_shape(6, 8)}
    assert all((kl >= 0).all() for kl in source.kl_nats)


def test_every_parameter_learns():
    model = small_model()
    pixels = torch.randint(0, 256, (4, 3, 16, 16)).float()
    source = PosteriorSampler()
    loss = -model(pixels, source).log_prob(pixels).sum() + sum(kl.sum() for kl in source.kl_nats)
    loss.backward()
    # The last block's upward residual branch leads nowhere: nothing lies above it.
    idle = {name for name, p in model.named_parameters() if p.grad is None}
    assert all(name.startswith("blocks.2.up_out") for name in idle)


def test_batch_does_not_matter_in_float64():
    model = small_model().double()
    pixels = torch.randint(0, 256, (5, 3, 16, 16)).double()

    def mean_source(prior, posterior, tensor):
        return posterior.loc

    with torch.no_grad():
        together = model(pixels, mean_source).mean
        alone = torch.cat([model(one[None], mean_source).mean for one in pixels])
    torch.testing.assert_close(together, alone, atol=1e-11, rtol=0)


def test_samplers_repeat_with_a_generator_and_leave_the_global_state_alone():
    model = small_model()
    state = torch.random.get_rng_state()
    draws = [
        model.generate(PriorSampler(generator=torch.Generator().manual_seed(3)), None, 1, 8, 8).mean
        for _ in range(2)
    ]
    assert torch.equal(*draws)
    assert torch.equal(state, torch.random.get_rng_state())


def test_posterior_sampler_without_posterior_says_what_is_missing():
    model = small_model()
    with pytest.raises(ValueError, match="inference pass"):
        model.generate(PosteriorSampler(), None, 1, 8, 8)


def test_half_precision_ends_before_the_likelihood():
    model = small_model()
    with torch.autocast("cpu", torch.bfloat16):
        given = model(torch.zeros(1, 3, 8, 8), PosteriorSampler())
    assert given.mean.dtype == given.log_scale.dtype == torch.float32
