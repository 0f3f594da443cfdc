import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from irec.codec import LossyCodec, lossy_passes
from irec.codec.lossy_passes import Refiner
from irec.models.sources import PosteriorSampler
from irec.models.two_level_vae import TwoLevelVAE, TwoLevelVAEConfig
from irec.models.zoo import load_checkpoint
from tests.checkpoints import tiny_transform_vae, write_transform_checkpoint
from tests.pictures import picture

SIZE = (100, 128)
TRADE_OFF = 0.01


@pytest.fixture(scope="module")
def model():
    return tiny_transform_vae().requires_grad_(False)


@pytest.fixture
def refiner(model):
    pixels = np.pad(picture(*SIZE, 3, 0), ((0, 28), (0, 0), (0, 0)), mode="edge")
    return Refiner(model, pixels.transpose(2, 0, 1), SIZE, TRADE_OFF, torch.ones(1), 10)


def inferred(refiner):
    pixels = torch.from_numpy(np.ascontiguousarray(refiner.pixels))[None].float()
    with torch.no_grad():
        return refiner.model.infer(pixels, refiner.anchor_position)


def objective_nats(refiner, evidence):
    """KL + lambda ln 2 * pixels * MSE, the mean of several samples, written out plainly."""
    height, width = refiner.size
    original = torch.from_numpy(refiner.pixels[:, :height, :width].astype(np.float32))
    total = 0.0
    for seed in range(8):
        source = PosteriorSampler(torch.Generator().manual_seed(seed))
        with torch.no_grad():
            decoded = refiner.model.generate(source, evidence, 128, 128, refiner.anchor_position)
        mse = float((decoded[0, :, :height, :width] - original).square().mean())
        total += refiner.trade_off * math.log(2.0) * height * width * mse / 8
        total += float(sum(kl.sum() for kl in source.kl_nats)) / 8
    return total


def test_steps_lower_the_objective(refiner):
    evidence = inferred(refiner)
    before = objective_nats(refiner, evidence)
    few, many = (
        objective_nats(refiner, replace(refiner, n_steps=n).refine(evidence)) for n in (2, 20)
    )
    assert many < few < before


def test_steps_follow_the_gradient_of_the_distortion(model, refiner):
    latents = torch.randn(1, 9 + 6, 8, 8, generator=torch.Generator().manual_seed(1))
    latents.requires_grad_()
    pixels = torch.from_numpy(refiner.pixels[:, :100].astype(np.float32))
    decoded = model.synthesise(latents, refiner.anchor_position)[0, :, :100]
    distortion = TRADE_OFF * math.log(2.0) * 100 * 128 * (decoded - pixels).square().mean()
    (expected,) = torch.autograd.grad(distortion, latents)
    found = refiner._distortion_slope(latents)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


def test_windows_do_not_change_the_gradient(refiner, monkeypatch):
    latents = torch.randn(1, 9 + 6, 8, 8, generator=torch.Generator().manual_seed(1))
    whole = refiner._distortion_slope(latents)
    for n_rows in (1, 3):
        monkeypatch.setattr(lossy_passes, "_WINDOW_PIXELS", n_rows * 16 * 128)
        found = refiner._distortion_slope(latents)
        torch.testing.assert_close(found, whole, rtol=1e-3, atol=1e-4 * float(whole.abs().max()))


def test_padding_may_look_like_anything(refiner):
    evidence, other = inferred(refiner), refiner.pixels.copy()
    other[:, SIZE[0] :] = 255 - other[:, SIZE[0] :]
    one = refiner.refine(evidence).coefficients
    two = replace(refiner, pixels=other).refine(evidence).coefficients
    assert torch.equal(one, two)


def test_nobody_else_notices(model, refiner):
    evidence, state = inferred(refiner), torch.random.get_rng_state()
    before = evidence.coefficients.clone()
    with torch.inference_mode():
        refined = refiner.refine(evidence)
        assert not torch.is_grad_enabled()
    assert torch.equal(state, torch.random.get_rng_state())
    assert refined.top is evidence.top
    assert torch.equal(evidence.coefficients, before)
    assert not torch.equal(refined.coefficients, before)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_models_without_coefficients_are_left_alone(refiner):
    model = TwoLevelVAE(TwoLevelVAEConfig(6, 5, 4))
    other = replace(refiner, model=model, anchor_position=torch.zeros(1))
    evidence = inferred(other)
    assert other.refine(evidence) is evidence


def test_effort_says_how_many_steps_unless_somebody_does(tmp_path):
    checkpoint = load_checkpoint(write_transform_checkpoint(tmp_path / "lossy"))
    by_effort = [LossyCodec(checkpoint, effort=effort).refinement_steps for effort in range(1, 10)]
    assert by_effort[0] == 0 < by_effort[-1]
    assert by_effort == sorted(by_effort)
    assert LossyCodec(checkpoint, effort=1, refinement_steps=3).refinement_steps == 3


def test_codecs_made_in_inference_mode_refine_too(tmp_path):
    # As Lightning's predict does.
    with torch.inference_mode():
        checkpoint = load_checkpoint(write_transform_checkpoint(tmp_path / "lossy"))
        codec = LossyCodec(checkpoint, effort=1, refinement_steps=2)
        encoded = codec.encode(picture(64, 64, 3, 0), 50.0)
    outside = LossyCodec(checkpoint, effort=1, refinement_steps=2)
    assert outside.encode(picture(64, 64, 3, 0), 50.0).data == encoded.data
