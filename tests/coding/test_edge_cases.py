import pytest
import torch

from irec.coding import (
    CoderSettings,
    SearchSettings,
    decode,
    decode_batch,
    encode,
    encode_batch,
    kl_nats,
    log_ratio_nats,
)

QUICK = SearchSettings(n_beams=32)


@pytest.fixture(params=["block", "step"])
def coder(request):
    return CoderSettings(order=request.param)


def test_no_kl_costs_nothing_and_gives_a_prior_draw(normal, coder):
    posterior, prior = normal(torch.full((2000,), 3.0), 2.0), normal(torch.full((2000,), 3.0), 2.0)
    code = encode(posterior, prior, 1, coder=coder)
    assert (code.n_steps, code.rho_index, code.indices.numel()) == (0, 0, 0)
    u = (decode(code, prior, 1, coder=coder) - 3.0) / 2.0
    assert abs(float(u.mean())) < 0.1
    assert float(u.var()) == pytest.approx(1.0, abs=0.13)
    assert not torch.equal(decode(code, prior, 2), decode(code, prior, 1))
    assert not torch.equal(decode(code, prior, 1, tensor=1), decode(code, prior, 1))


@pytest.mark.parametrize(
    ("mean", "scale", "kl", "tolerance"),
    [
        (0.2, 0.73, 0.1, 3.0),
        (0.0, 0.0101, 4.1, 0.05),
        (1.0, 1e-6, 13.8, 1e-4),
        (7.5, 0.1, 30.0, 0.3),
        (31.5, 0.1, 498.0, 5.0),  # no candidates lead so far out: such means are merely approached
    ],
)
def test_one_dimension(normal, coder, mean, scale, kl, tolerance):
    posterior, prior = normal([mean], scale), normal([0.0], 1.0)
    assert float(kl_nats(posterior, prior)) == pytest.approx(kl, rel=0.05)
    errors = []
    for seed in range(5):
        code = encode(posterior, prior, seed, coder=coder, search=QUICK)
        # A little less than it holds, where that wastes least; more where fewer do not get there.
        assert code.n_steps >= round(0.95 * float(kl_nats(posterior, prior)) / coder.nats_per_step)
        errors.append(float(decode(code, prior, seed, coder=coder)) - mean)
    assert sorted(map(abs, errors))[2] < tolerance


def test_huge_means_are_reached(normal):
    mean = torch.zeros(3)
    mean[1] = -1000.0
    posterior, prior = normal(1.0 + 0.01 * mean, 0.005), normal([1.0] * 3, 0.01)
    code = encode(posterior, prior, 0, search=SearchSettings(n_beams=4))
    assert code.n_steps == 3 * 256  # the most that three dimensions may take
    z = decode(code, prior, 0)
    assert torch.isfinite(z).all()
    assert float(z[1]) < 0.5


def test_tiny_scales_are_resolved(normal, coder):
    generator = torch.Generator().manual_seed(0)
    mean = torch.randn(40, generator=generator)
    posterior, prior = normal(mean, 1e-6), normal(torch.zeros(40), 1.0)
    code = encode(posterior, prior, 0, coder=coder)
    z = decode(code, prior, 0, coder=coder)
    assert float((z - mean).abs().median()) < 3e-6
    assert float(log_ratio_nats(z, posterior, prior)) > 0.8 * float(kl_nats(posterior, prior))


def test_posteriors_wider_than_their_priors(normal):
    posterior, prior = normal(torch.zeros(60), 4.0), normal(torch.zeros(60), 1.0)
    ratios = []
    for seed in range(3):
        z = decode(encode(posterior, prior, seed), prior, seed)
        ratios.append(float(log_ratio_nats(z, posterior, prior)))
    assert sum(ratios) / 3 > 0.7 * float(kl_nats(posterior, prior))


def test_fewer_dimensions_than_blocks(normal, coder):
    posterior, prior = normal([1.0, -0.5, 0.3], 1e-4), normal([0.0] * 3, 1.0)
    code = encode(posterior, prior, 0, coder=coder)
    assert code.n_steps > 4
    assert float((decode(code, prior, 0, coder=coder) - posterior.loc).abs().max()) < 0.05


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1, 1, 1)])
def test_odd_shapes(normal, coder, shape):
    posterior, prior = normal(torch.ones(shape), 0.05), normal(torch.zeros(shape), 1.0)
    code = encode(posterior, prior, 0, coder=coder)
    assert (code.n_steps == 0) == (posterior.loc.numel() == 0)
    assert decode(code, prior, 0, coder=coder).shape == shape


def test_empty_batch(normal):
    nothing = normal(torch.zeros(0, 5), 1.0)
    assert encode_batch(nothing, nothing, 0) == []
    assert decode_batch([], nothing, 0).shape == (0, 5)


def test_one_outlier_among_many_does_not_break_the_others(normal):
    mean = torch.zeros(500)
    mean[17] = 12.0
    posterior, prior = normal(mean, 0.8), normal(torch.zeros(500), 1.0)
    z = decode(encode(posterior, prior, 0, search=QUICK), prior, 0)
    assert torch.isfinite(z).all()
    assert float(z[17]) > 4.0
    assert float(z.var()) < 2.0


def test_gradients_are_neither_needed_nor_kept(normal):
    posterior, prior = normal(torch.ones(50), 0.3), normal(torch.zeros(50), 1.0)
    posterior.loc.requires_grad_()
    prior.loc.requires_grad_()
    z = decode(encode(posterior, prior, 0, search=QUICK), prior, 0)
    assert not z.requires_grad


@pytest.mark.slow
def test_ten_million_dimensions(normal):
    mean = torch.zeros(10_000_000)
    mean[::50_000] = 3.0
    posterior, prior = normal(mean, 1.0, torch.float32), normal(torch.zeros_like(mean), 1.0)
    prior = normal(prior.loc, 1.0, torch.float32)
    kl = float(kl_nats(posterior, prior))
    code = encode(posterior, prior, 0, search=QUICK)
    z = decode(code, prior, 0)
    assert float(log_ratio_nats(z, posterior, prior)) > 0.75 * kl
    assert float(z.var()) == pytest.approx(1.0, abs=0.01)


@pytest.mark.gpu
def test_devices_decode_alike(pairs):
    posterior, prior = pairs([100.0, 5.0], 700)
    codes = encode_batch(posterior, prior, 0)
    on_gpu = torch.distributions.Normal(prior.loc.cuda(), prior.scale.cuda(), validate_args=False)
    z = decode_batch(codes, prior, 0)
    torch.testing.assert_close(decode_batch(codes, on_gpu, 0).cpu(), z, rtol=0, atol=1e-12)
