"""What holds of every lossy model."""

import pytest
import torch

from irec.models.sources import PosteriorSampler, PriorSampler
from tests.models import lossy_models
from tests.models.lossy_models import Recorder, Replay, images

MODELS = {
    "transform": lossy_models.small_transform_vae,
    "two levels": lossy_models.small_two_level_vae,
    "one quality": lambda: lossy_models.small_two_level_vae(lambdas=(0.01,)),
}


@pytest.fixture(params=MODELS)
def model(request):
    return MODELS[request.param]()


def anchor_positions(model, *shares):
    """Anchor positions, from the first to the last."""
    return torch.tensor(shares) * (len(model.config.lambdas) - 1)


def test_generation_without_evidence_repeats_the_pass_that_had_it(model):
    model, encoder, anchor_position = (
        model.double(),
        Recorder(),
        anchor_positions(model, 0.6).double(),
    )
    with torch.no_grad():
        expected = model(images(1, 64, 128, torch.float64), encoder, anchor_position)
        decoder = Replay(encoder.values)
        decoded = model.generate(decoder, None, 64, 128, anchor_position)
    assert torch.equal(decoded, expected)
    for (prior, _), again in zip(encoder.asked, decoder.priors, strict=True):
        assert torch.equal(prior.loc, again.loc)
        assert torch.equal(prior.scale, again.scale)


def test_batch_does_not_matter_in_float64(model):
    model, anchor_position = model.double(), anchor_positions(model, 0.125, 1.0).double()
    pixels = images(2, 64, 128, torch.float64)
    with torch.no_grad():
        together = model(pixels, Recorder(), anchor_position)
        alone = [model(pixels[i : i + 1], Recorder(), anchor_position[i : i + 1]) for i in range(2)]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-9, rtol=0)


def test_samples_need_no_image(model):
    anchor_position = anchor_positions(model, 0.0, 0.75)
    draws = [
        model.generate(
            PriorSampler(generator=torch.Generator().manual_seed(3)), None, 128, 64, anchor_position
        )
        for _ in range(2)
    ]
    assert draws[0].shape == (2, 3, 128, 64)
    assert torch.equal(*draws)
    with pytest.raises(ValueError, match="inference pass"):
        model.generate(PosteriorSampler(), None, 64, 64, anchor_position)


def test_every_parameter_learns(model):
    """Otherwise plain DDP stops with an error."""
    pixels, source = images(4), PosteriorSampler()
    # Between anchors, so that each of them has a share.
    decoded = model(pixels, source, anchor_positions(model, 0.05, 0.45, 0.7, 0.95))
    loss = (decoded - pixels).square().mean() + sum(kl.sum() for kl in source.kl_nats)
    loss.backward()
    for name, value in model.named_parameters():
        assert value.grad is not None, name
        assert value.grad.isfinite().all(), name
    assert len(source.kl_nats) == model.n_latent_tensors
    assert all((kl >= -1e-4).all() for kl in source.kl_nats)


def test_half_precision_ends_in_the_distributions_and_the_image(model):
    source = Recorder()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        decoded = model(images(), source, anchor_positions(model, 0.5))
    assert decoded.dtype == torch.float32
    for pair in source.asked:
        assert all(one.loc.dtype == one.scale.dtype == torch.float32 for one in pair)
