import itertools

import pytest
import torch

from irec.errors import InvalidParameterError
from irec.models.sources import PosteriorSampler, PriorSampler
from irec.models.two_level_vae import TwoLevelVAE, TwoLevelVAEConfig

LAMBDAS = (0.001, 0.01, 0.05)


def small_model(lambdas=LAMBDAS):
    """A tiny model whose rates differ."""
    torch.manual_seed(0)
    model = TwoLevelVAE(TwoLevelVAEConfig(6, 5, 4, lambdas))
    with torch.no_grad():
        for name, value in model.named_parameters():
            if "rate" in name:
                value.normal_(std=0.3)
    return model


def images(n=1, height=64, width=64, dtype=torch.float32):
    return torch.randint(0, 256, (n, 3, height, width)).to(dtype)


class Recorder:
    """Takes a value between posterior mean and edge, and notes what it was asked."""

    def __init__(self):
        self.values, self.asked = [], []

    def __call__(self, prior, posterior, tensor):
        self.asked.append((prior, posterior))
        self.values.append(posterior.loc + 0.5 * posterior.scale)
        return self.values[-1]


class Replay:
    """Hands out recorded latent tensors; fails where a posterior is offered."""

    def __init__(self, values):
        self.values, self.priors = iter(values), []

    def __call__(self, prior, posterior, tensor):
        assert posterior is None
        self.priors.append(prior)
        return next(self.values)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (128, 192)])
def test_the_source_is_asked_for_z2_and_then_for_z1(height, width):
    model, source = small_model(), Recorder()
    position = torch.tensor([0.5, 2.0])
    with torch.no_grad():
        decoded = model(images(2, height, width), source, position)
    assert decoded.shape == (2, 3, height, width)
    z2, z1 = (2, 4, height // 64, width // 64), (2, 5, height // 16, width // 16)
    shapes = [(p.batch_shape, q.batch_shape) for p, q in source.asked]
    assert shapes == [(z2, z2), (z1, z1)]
    assert model.n_latent_tensors == 2
    assert all((one.scale > 0).all() for pair in source.asked for one in pair)


@pytest.mark.parametrize("lambdas", [LAMBDAS, (0.01,)])
def test_generation_without_evidence_repeats_the_pass_that_had_it(lambdas):
    model, encoder = small_model(lambdas).double(), Recorder()
    position = torch.tensor([len(lambdas) * 0.4] if len(lambdas) > 1 else [0.0]).double()
    with torch.no_grad():
        expected = model(images(1, 64, 128, torch.float64), encoder, position)
        decoder = Replay(encoder.values)
        decoded = model.generate(decoder, None, 64, 128, position)
    assert torch.equal(decoded, expected)
    for (prior, _), again in zip(encoder.asked, decoder.priors, strict=True):
        assert torch.equal(prior.loc, again.loc)
        assert torch.equal(prior.scale, again.scale)


def test_batch_does_not_matter_in_float64():
    model = small_model().double()
    pixels, position = images(2, 64, 128, torch.float64), torch.tensor([0.25, 2.0]).double()
    with torch.no_grad():
        together = model(pixels, Recorder(), position)
        alone = [model(pixels[i : i + 1], Recorder(), position[i : i + 1]) for i in range(2)]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-9, rtol=0)


def test_the_rate_matters_to_posterior_and_image():
    model, pixels, found = small_model(), images(), []
    for position in (0.0, 0.5, 2.0):
        source = Recorder()
        with torch.no_grad():
            decoded = model(pixels, source, torch.tensor([position]))
        found.append((decoded, source.asked[1][1].loc))
    for (image, mean), (other_image, other_mean) in itertools.pairwise(found):
        assert not torch.allclose(image, other_image)
        assert not torch.allclose(mean, other_mean)


def test_samples_need_no_image():
    model, position = small_model(), torch.tensor([0.0, 1.5])
    draws = [
        model.generate(
            PriorSampler(generator=torch.Generator().manual_seed(3)), None, 128, 64, position
        )
        for _ in range(2)
    ]
    assert draws[0].shape == (2, 3, 128, 64)
    assert torch.equal(*draws)
    with pytest.raises(ValueError, match="inference pass"):
        model.generate(PosteriorSampler(), None, 64, 64, position)


@pytest.mark.parametrize("lambdas", [LAMBDAS, (0.01,)])
def test_every_parameter_learns(lambdas):
    """Otherwise plain DDP stops with an error."""
    model, pixels, source = small_model(lambdas), images(4), PosteriorSampler()
    # Between anchors, so that each of them has a share.
    position = torch.tensor([0.1, 0.9, 1.4, 1.9]) if len(lambdas) > 1 else torch.zeros(4)
    decoded = model(pixels, source, position)
    loss = (decoded - pixels).square().mean() + sum(kl.sum() for kl in source.kl_nats)
    loss.backward()
    for name, value in model.named_parameters():
        assert value.grad is not None, name
        assert value.grad.isfinite().all(), name
    assert len(source.kl_nats) == 2
    assert all((kl >= -1e-5).all() for kl in source.kl_nats)


def test_half_precision_ends_before_the_last_layer_and_in_the_distributions():
    model, source, last_input = small_model(), Recorder(), []
    model.synthesis.last.register_forward_pre_hook(lambda _, given: last_input.append(given[0]))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        decoded = model(images(), source, torch.tensor([1.0]))
    assert decoded.dtype == last_input[0].dtype == torch.float32
    for pair in source.asked:
        assert all(one.loc.dtype == one.scale.dtype == torch.float32 for one in pair)


@pytest.mark.parametrize("lambdas", [(), (0.0, 0.1), (-0.1,), (0.1, 0.1), (0.3, 0.1)])
def test_lambdas_are_positive_and_ascending(lambdas):
    with pytest.raises(InvalidParameterError, match="positive and ascending"):
        TwoLevelVAEConfig(lambdas=lambdas)


def test_lambdas_of_a_file_are_a_list_at_first():
    assert TwoLevelVAEConfig(lambdas=[0.1, 0.2]) == TwoLevelVAEConfig(lambdas=(0.1, 0.2))
