import math

import pytest
import torch

from irec.coding import kl_nats, log_ratio_nats
from irec.coding.faithful import (
    FaithfulCode,
    FaithfulSettings,
    Sampler,
    decode_faithful,
    encode_faithful,
)
from irec.commands.benchmark import synthetic_posterior
from irec.errors import CorruptFileError, InvalidParameterError


def samples(posterior, prior, settings, n):
    codes = [encode_faithful(posterior, prior, i, settings=settings) for i in range(n)]
    drawn = [decode_faithful(c, prior, i, settings=settings) for i, c in enumerate(codes)]
    return codes, torch.stack(drawn)


def test_candidates_are_the_papers():
    assert FaithfulSettings().n_candidates == 36
    assert FaithfulSettings(extra_candidates=0.0, n_beams=10).n_candidates == 20


def test_beam_search_takes_one_step_per_omega_and_reaches_the_kl():
    posterior, prior = synthetic_posterior(40.0, 150, 0)
    code = encode_faithful(posterior, prior, 0)
    assert [len(indices) for indices in code.indices_of_block] == [math.ceil(40 / 3)]
    assert code.n_nats(FaithfulSettings()) == pytest.approx(14 * math.log(36))
    ratio = float(log_ratio_nats(decode_faithful(code, prior, 0), posterior, prior))
    assert 30.0 < ratio < 14 * math.log(36)


def test_blocks_cover_every_dimension_and_types_are_kept(normal):
    posterior = normal(torch.linspace(-1, 1, 60).view(3, 20), 0.3, torch.float32)
    prior = normal(torch.zeros(3, 20), 1.0, torch.float32)
    settings = FaithfulSettings(block_size=25)
    code = encode_faithful(posterior, prior, 5, tensor=4, settings=settings)
    assert len(code.indices_of_block) == 3
    z = decode_faithful(code, prior, 5, tensor=4, settings=settings)
    assert (z.shape, z.dtype) == ((3, 20), torch.float32)
    assert float(log_ratio_nats(z, posterior, prior)) > 0.6 * float(kl_nats(posterior, prior))


def test_rejection_sampling_is_exact(normal):
    posterior, prior = normal([1.2, -0.3], [0.35, 0.7]), normal([0.0, 0.0], 1.0)
    settings = FaithfulSettings(kl_per_step_nats=0.6, sampler=Sampler.REJECTION)
    codes, z = samples(posterior, prior, settings, 150)
    assert len(codes[0].indices_of_block[0]) == 3
    standardised = (z - posterior.loc) / posterior.scale
    assert float(standardised.mean(0).abs().max()) < 4 / math.sqrt(150)
    assert float((standardised.var(0) - 1).abs().max()) < 4 * math.sqrt(2 / 150)
    assert abs(float((standardised[:, 0] * standardised[:, 1]).mean())) < 4 / math.sqrt(150)
    nats = [code.n_nats(settings) for code in codes]
    assert 3 * math.log(2) <= min(nats) < max(nats)


def test_importance_sampling_approaches_the_posterior_with_more_candidates(normal):
    posterior, prior = normal([1.5], 0.3), normal([0.0], 1.0)
    errors = []
    for extra in (0.0, 2.0):
        settings = FaithfulSettings(
            kl_per_step_nats=1.9, extra_candidates=extra, sampler=Sampler.IMPORTANCE
        )
        _, z = samples(posterior, prior, settings, 150)
        errors.append(abs(float((z - 1.5).mean())) / 0.3)
    assert errors[1] < 4 / math.sqrt(150)
    assert errors[0] > 2 * errors[1]  # six candidates for 1.9 nats are too few


def test_no_kl_takes_no_steps(normal):
    prior = normal(torch.zeros(500), 1.0)
    code = encode_faithful(prior, prior, 0)
    assert code.n_nats(FaithfulSettings()) == 0
    assert float(decode_faithful(code, prior, 0).var()) == pytest.approx(1.0, abs=0.3)
    nothing = normal(torch.zeros(0), 1.0)
    assert decode_faithful(encode_faithful(nothing, nothing, 0), nothing, 0).numel() == 0


def test_rejection_needs_narrow_posteriors(normal):
    settings = FaithfulSettings(sampler=Sampler.REJECTION)
    with pytest.raises(InvalidParameterError):
        encode_faithful(normal([0.0], 3.0), normal([0.0], 1.0), 0, settings=settings)


def test_rejection_gives_up_after_the_limit(normal):
    settings = FaithfulSettings(kl_per_step_nats=9.0, sampler=Sampler.REJECTION, max_trials=70)
    code = encode_faithful(normal([3.0], 0.01), normal([0.0], 1.0), 0, settings=settings)
    assert int(code.indices_of_block[0].max()) < 70


def test_impossible_arguments_are_refused(normal):
    for wrong in ({"kl_per_step_nats": 0.0}, {"n_beams": 0}, {"extra_candidates": -1.0}):
        with pytest.raises(InvalidParameterError):
            FaithfulSettings(**wrong)
    with pytest.raises(CorruptFileError):
        decode_faithful(FaithfulCode(()), normal([0.0], 1.0), 0)
