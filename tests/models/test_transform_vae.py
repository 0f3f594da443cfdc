import pytest
import torch
from torch import nn
from torch.nn import functional

from irec.errors import InvalidParameterError
from irec.models.block_transform import block_components
from irec.models.sources import PosteriorSampler
from irec.models.transform_layers import Conv3x3
from irec.models.transform_vae import TransformVAE, TransformVAEConfig, halves, joined
from tests.models.lossy_models import TRANSFORM_LAMBDAS, Recorder, images
from tests.models.lossy_models import small_transform_vae as small_model


def test_the_source_is_asked_for_z2_and_then_slice_by_slice():
    model, source = small_model(), Recorder()
    with torch.no_grad():
        decoded = model(images(2, 64, 128), source, torch.tensor([0.5, 2.0]))
    assert decoded.shape == (2, 3, 64, 128)
    shapes = [(4, 1, 2), (4, 2, 4), (4, 2, 4), (3, 4, 8), (4, 4, 8)]
    assert [tuple(p.loc.shape[1:]) for p, _ in source.asked] == shapes
    assert [tuple(q.loc.shape[1:]) for _, q in source.asked] == shapes
    assert source.tensors == list(range(model.n_latent_tensors))
    assert [c * h * w for c, h, w in shapes] == model.n_latent_dims(64, 128)
    assert all((one.scale > 0).all() for pair in source.asked for one in pair)


def test_the_posterior_is_that_of_a_gaussian_seen_through_noise():
    """Prior N(m, p), y = z + noise of variance D: precision-weighted, as Bayes has it."""
    model, source, anchor_position = small_model(), Recorder(), torch.tensor([1.0])
    with torch.no_grad():
        evidence = model.infer(images(), anchor_position)
        model.latents(source, evidence, 64, 64, anchor_position)
        prior, posterior = source.asked[-1]
        noise = model.log_water(anchor_position)[:, 5:9].exp()
        precision = 1 / prior.scale.square() + 1 / noise
        y = evidence.coefficients[:, 5:9]
        mean = (prior.loc / prior.scale.square() + y / noise) / precision
    torch.testing.assert_close(posterior.loc, mean, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(posterior.scale, precision.rsqrt(), rtol=1e-4, atol=1e-6)


def test_components_reconstruct_before_the_first_step():
    torch.manual_seed(0)
    model = TransformVAE(TransformVAEConfig(slices=(12, 64), lambdas=TRANSFORM_LAMBDAS))
    smooth = functional.interpolate(torch.rand(8, 3, 8, 8), size=(128, 128), mode="bicubic")
    pixels = (255.0 * smooth.clamp(0.0, 1.0)).round()
    model.begin_at(block_components([pixels.byte()] * 2, 16))
    anchor_position = torch.full((8,), 2.0)
    with torch.no_grad():
        decoded = model(pixels, PosteriorSampler(torch.Generator().manual_seed(0)), anchor_position)
    psnr = 10 * torch.log10(255.0**2 / (decoded - pixels).square().mean())
    assert psnr > 34.0


def test_higher_rates_have_lower_water_levels_and_more_bits():
    model, found = small_model(), []
    for anchor_position in (0.0, 0.5, 2.0):
        source = PosteriorSampler(torch.Generator().manual_seed(0))
        with torch.no_grad():
            model(images(), source, torch.tensor([anchor_position]))
        found.append(float(sum(kl.sum() for kl in source.kl_nats)))
    assert found == sorted(found)
    water = model.log_water(torch.tensor([0.0, 2.0])).flatten(1).exp()
    assert torch.allclose(water[0] / water[1], torch.tensor(100.0), rtol=1e-3)


def test_models_for_ms_ssim_begin_at_rates_like_those_for_squared_error():
    ours, other = (
        TransformVAE(TransformVAEConfig(slices=(12, 64), lambdas=lambdas, distortion=distortion))
        for lambdas, distortion in (((0.01, 0.1), "mse"), ((0.07, 0.7), "ms_ssim"))
    )
    torch.testing.assert_close(ours.log_water.values, other.log_water.values)


def test_no_image_makes_the_levels_drive_each_other_out_of_bounds():
    model = small_model()
    with torch.no_grad():
        for name, value in model.named_parameters():
            if "rate" not in name and ("heads" in name or "last" in name):
                value.mul_(1e4)
        noise = 255.0 * torch.randint(0, 2, (1, 3, 64, 64)).float()
        source = PosteriorSampler(torch.Generator().manual_seed(0))
        decoded = model(noise, source, torch.tensor([0.0]))
    assert decoded.isfinite().all()
    assert all(kl.isfinite().all() for kl in source.kl_nats)


def test_a_chessboard_comes_apart_and_together():
    x = torch.arange(2 * 3 * 4 * 6.0).view(2, 3, 4, 6)
    one, other = halves(x)
    assert one.shape == other.shape == (2, 6, 2, 3)
    assert torch.equal(joined(one, other), x)
    colour = joined(torch.ones_like(one), torch.zeros_like(other))[0, 0]
    rows, columns = torch.meshgrid(torch.arange(4), torch.arange(6), indexing="ij")
    assert torch.equal(colour == 1.0, (rows + columns) % 2 == 0)


@pytest.mark.parametrize(
    "changes", [{"lambdas": ()}, {"lambdas": (0.1, 0.1)}, {"slices": (3, 2)}, {"slices": ()}]
)
def test_slices_and_lambdas_ascend(changes):
    with pytest.raises(InvalidParameterError, match="ascending"):
        TransformVAEConfig(**changes)


def test_lists_of_a_file_are_tuples():
    config = TransformVAEConfig(slices=[2, 4], lambdas=[0.1, 0.2])
    assert config == TransformVAEConfig(slices=(2, 4), lambdas=(0.1, 0.2))
    assert all(isinstance(x, tuple) for x in (config.slices, config.lambdas))


@pytest.mark.parametrize("padding_mode", ["zeros", "replicate"])
@pytest.mark.parametrize("shape", [(1, 5, 1, 1), (2, 5, 7, 6), (1, 5, 70, 90)])
def test_convolutions_in_float64_are_convolutions(padding_mode, shape):
    torch.manual_seed(0)
    layer, x = Conv3x3(5, 8, padding_mode).double(), torch.randn(shape, dtype=torch.float64)
    layer.requires_grad_(False)
    torch.testing.assert_close(layer(x), nn.Conv2d.forward(layer, x), rtol=0, atol=1e-13)
