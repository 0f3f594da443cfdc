"""Whether codes are worth their bits and samples look like samples."""

import pytest
import torch

from irec.coding import CoderSettings, SearchSettings, decode_batch, encode_batch, log_ratio_nats
from irec.coding.faithful import FaithfulSettings, decode_faithful, encode_faithful
from irec.coding.gaussians import whiten
from irec.commands.benchmark import synthetic_posterior


def code_batch(pairs, kls, n_dims, **settings):
    posterior, prior = pairs(kls, n_dims)
    codes = encode_batch(posterior, prior, 11, **settings)
    coder = settings.get("coder", CoderSettings())
    z = decode_batch(codes, prior, 11, coder=coder)
    sent = sum(code.n_steps for code in codes) * coder.nats_per_step
    return posterior, prior, z, sent, float(log_ratio_nats(z, posterior, prior))


# Measured excess over KL, (sent - log-ratio) / KL, plus about three standard errors.
@pytest.mark.parametrize(
    ("kl", "n", "limit"), [(30.0, 16, 0.24), (100.0, 8, 0.14), (300.0, 4, 0.12)]
)
def test_excess_over_the_kl_is_small(pairs, kl, n, limit):
    *_, sent, ratio = code_batch(pairs, [kl] * n, 1000)
    assert (sent - ratio) / (n * kl) < limit
    assert ratio / sent > 1.0 - limit


def test_samples_have_the_posteriors_mean_and_variance(pairs):
    posterior, prior, z, _, ratio = code_batch(pairs, [60.0] * 24, 200)
    assert ratio / (24 * 60.0) == pytest.approx(1.0, abs=0.08)
    standardised = (z - posterior.loc) / posterior.scale
    kl = whiten(posterior, prior).kl_nats()
    for chosen in (kl > 1.0, kl < 0.1):  # those that hold most, those that hold least
        values = standardised[chosen]
        assert values.numel() > 100
        assert abs(float(values.mean())) < 0.15
        assert 0.75 < float(values.var()) < 1.45


def test_more_effort_is_worth_it(pairs):
    excess = []
    for effort in (1, 6):
        search = SearchSettings.from_effort(effort)
        *_, sent, ratio = code_batch(pairs, [120.0] * 4, 400, search=search)
        excess.append((sent - ratio) / 480.0)
    assert excess[1] < excess[0] - 0.03


def test_the_paper_pays_more_on_the_same_data():
    ours, theirs = [], []
    for seed in range(4):
        posterior, prior = synthetic_posterior(100.0, 400, seed)
        code = encode_faithful(posterior, prior, seed)
        z = decode_faithful(code, prior, seed)
        ratio = float(log_ratio_nats(z, posterior, prior))
        theirs.append(code.n_nats(FaithfulSettings()) - ratio)
        batch = [torch.distributions.Normal(d.loc[None], d.scale[None]) for d in (posterior, prior)]
        codes = encode_batch(*batch, seed)
        ratio = float(log_ratio_nats(decode_batch(codes, batch[1], seed), *batch))
        ours.append(codes[0].n_steps * CoderSettings().nats_per_step - ratio)
    assert sum(ours) < sum(theirs) - 25.0


def test_pruning_and_other_alphabets_still_decode(pairs):
    for coder in (CoderSettings(4, 12), CoderSettings(1024, 3)):
        search = SearchSettings(n_beams=64, negligible_kl_fraction=0.05)
        *_, sent, ratio = code_batch(pairs, [80.0] * 2, 300, coder=coder, search=search)
        assert ratio > 0.6 * sent
