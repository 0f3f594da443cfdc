import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from irec.codec import LossyCodec, bands
from irec.codec.refinement import Refiner, RefiningSource
from irec.models.latent_source import PosteriorSampler
from irec.models.two_level_vae import TwoLevelVAE, TwoLevelVAEConfig
from irec.models.zoo import load_checkpoint, save_checkpoint
from tests.checkpoints import write_lossy_checkpoint
from tests.pictures import picture

SIZE = (100, 128)
TRADE_OFF = 0.01


@pytest.fixture(scope="module")
def model():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return TwoLevelVAE(TwoLevelVAEConfig(6, 5, 4)).eval().requires_grad_(False)


@pytest.fixture
def refiner(model):
    pixels = np.pad(picture(*SIZE, 3, 0), ((0, 28), (0, 0), (0, 0)), mode="edge")
    return Refiner(model, pixels.transpose(2, 0, 1), SIZE, TRADE_OFF, torch.zeros(1), 10)


def inferred(model, refiner):
    """Prior and posterior of z1, as the generative pass meets them."""

    class Keeper(PosteriorSampler):
        def __call__(self, prior, posterior, tensor):
            self.seen = prior, posterior
            return super().__call__(prior, posterior, tensor)

    keeper = Keeper(torch.Generator().manual_seed(0))
    pixels = torch.from_numpy(np.ascontiguousarray(refiner.pixels))[None].float()
    with torch.no_grad():
        evidence = model.infer(pixels, refiner.position)
        model.latents(keeper, evidence, *pixels.shape[2:], refiner.position)
    return keeper.seen


def objective_nats(model, refiner, prior, posterior):
    """KL + lambda ln 2 * pixels * MSE, the mean of several samples, written out plainly."""
    height, width = refiner.size
    original = torch.from_numpy(refiner.pixels[:, :height, :width].astype(np.float32))
    generator = torch.Generator().manual_seed(5)
    total = 0.0
    for _ in range(8):
        noise = torch.randn(posterior.loc.shape, generator=generator)
        z1 = posterior.loc + posterior.scale * noise
        decoded = model.synthesis(z1, refiner.position)[0, :, :height, :width]
        mse = float((decoded - original).square().mean())
        total += refiner.trade_off * math.log(2.0) * height * width * mse / 8
    return total + float(kl_divergence(posterior, prior).sum())


def test_steps_lower_the_objective(model, refiner):
    prior, posterior = inferred(model, refiner)
    before = objective_nats(model, refiner, prior, posterior)
    few, many = (
        objective_nats(model, refiner, prior, replace(refiner, n_steps=n).refine(prior, posterior))
        for n in (2, 20)
    )
    assert many < few < before
    assert many < 0.97 * before


def test_steps_follow_the_gradient_of_the_objective(model, refiner):
    _, posterior = inferred(model, refiner)
    mean = posterior.loc.clone().requires_grad_()
    pixels = torch.from_numpy(refiner.pixels[:, :100].astype(np.float32))
    decoded = model.synthesis(mean, refiner.position)[0, :, :100]
    distortion = TRADE_OFF * math.log(2.0) * 100 * 128 * (decoded - pixels).square().mean()
    (expected,) = torch.autograd.grad(distortion, mean)
    found = refiner._distortion_slope(posterior.loc)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


def test_bands_do_not_change_the_gradient(refiner, monkeypatch):
    z1 = torch.randn(1, 5, 8, 8, generator=torch.Generator().manual_seed(1))
    whole = refiner._distortion_slope(z1)
    for n_rows in (1, 3):
        monkeypatch.setattr(bands, "_BAND_PIXELS", n_rows * 16 * 128)
        found = refiner._distortion_slope(z1)
        torch.testing.assert_close(found, whole, rtol=1e-3, atol=1e-4 * float(whole.abs().max()))


def test_padding_may_look_like_anything(model, refiner):
    prior, posterior = inferred(model, refiner)
    other = refiner.pixels.copy()
    other[:, SIZE[0] :] = 255 - other[:, SIZE[0] :]
    one = refiner.refine(prior, posterior).loc
    two = replace(refiner, pixels=other).refine(prior, posterior).loc
    assert torch.equal(one, two)


def test_nobody_else_notices(model, refiner):
    prior, posterior = inferred(model, refiner)
    state = torch.random.get_rng_state()
    with torch.inference_mode():
        as_double = Normal(posterior.loc.double(), posterior.scale.double())
        refined = refiner.refine(Normal(prior.loc.double(), prior.scale.double()), as_double)
        assert not torch.is_grad_enabled()
    assert torch.equal(state, torch.random.get_rng_state())
    assert refined.loc.dtype == torch.float64
    assert torch.equal(refined.scale, as_double.scale)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_only_z1_is_refined(model, refiner):
    seen = []

    def inner(prior, posterior, tensor):
        seen.append(posterior)
        return posterior.loc

    prior, posterior = inferred(model, refiner)
    source = RefiningSource(inner, refiner)
    z2 = Normal(torch.zeros(1, 4, 2, 2), torch.ones(1, 4, 2, 2))
    source(z2, z2, 0)
    source(prior, posterior, 1)
    assert seen[0] is z2
    assert not torch.equal(seen[1].loc, posterior.loc)


def test_effort_says_how_many_steps_unless_somebody_does(tmp_path):
    checkpoint = load_checkpoint(write_lossy_checkpoint(tmp_path / "mse"))
    assert LossyCodec(checkpoint, effort=1).refinement_steps == 0
    by_effort = [LossyCodec(checkpoint, effort=effort).refinement_steps for effort in range(1, 10)]
    assert by_effort == sorted(by_effort)
    assert LossyCodec(checkpoint, effort=1, refinement_steps=3).refinement_steps == 3


def test_codecs_made_in_inference_mode_refine_too(tmp_path):
    # As Lightning's predict does.
    with torch.inference_mode():
        checkpoint = load_checkpoint(write_lossy_checkpoint(tmp_path / "mse"))
        codec = LossyCodec(checkpoint, effort=1, refinement_steps=2)
        encoded = codec.encode(picture(64, 64, 3, 0), 50.0)
    outside = LossyCodec(checkpoint, effort=1, refinement_steps=2)
    assert outside.encode(picture(64, 64, 3, 0), 50.0).data == encoded.data


def test_models_of_another_distortion_are_left_alone(tmp_path):
    checkpoint = load_checkpoint(write_lossy_checkpoint(tmp_path / "mse"))
    model = TwoLevelVAE(replace(checkpoint.model.config, distortion="ms_ssim"))
    model.load_state_dict(checkpoint.model.state_dict())
    save_checkpoint(tmp_path / "ms_ssim", model, checkpoint.coding)
    codec = LossyCodec(load_checkpoint(tmp_path / "ms_ssim"), effort=5)
    assert codec.refinement_steps == 0
