import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from irec.bitstream import Calibration, ResidualEncoder, quantise
from irec.codec.calibrate import calibrated, fitted_calibration
from irec.codec.encoded import coded_bits
from irec.codec.tiles import for_coder
from irec.models.likelihoods import LogisticParameters

SIZE = (48, 48)


def mixtures(seed, n_components=3):
    generator = torch.Generator().manual_seed(seed)

    def drawn(*shape):
        return torch.randn(1, *shape, *SIZE, generator=generator, dtype=torch.float64)

    base = (100.0 + 30.0 * drawn(3)).mul(4.0).round().div(4.0).clamp(0.0, 255.0)
    return LogisticParameters(
        mean=base[:, None] + 4.0 * drawn(n_components, 3),
        log_scale=0.5 * drawn(n_components, 3),
        coupling=0.3 * drawn(n_components, 3),
        logit=drawn(n_components),
        base=base,
    )


def with_outliers(parameters, share, seed):
    """Likely pixels, of which some are black or white."""
    pixels = parameters.typical().round()[0].numpy().astype(np.uint8)
    rng = np.random.default_rng(seed)
    is_out = rng.random(pixels.shape) < share
    return np.where(is_out, rng.choice(np.array([0, 255], np.uint8), pixels.shape), pixels)


@given(seed=st.integers(0, 99), share=st.sampled_from([0.0, 0.02, 0.5]))
@settings(max_examples=12)
@pytest.mark.parametrize("n_channels", [1, 3])
def test_coded_bits_are_what_the_coder_takes_but_for_the_bounds_of_decisions(
    n_channels, seed, share
):
    parameters = mixtures(seed)
    pixels = with_outliers(parameters, share, seed)
    values = torch.from_numpy(pixels)[None].double()
    bits = coded_bits(parameters, values, n_channels).sum().item()
    quantised = quantise(for_coder(parameters, 0, n_channels, *SIZE), 0)
    encoder = ResidualEncoder()
    encoder.add(pixels[:n_channels], quantised)
    taken = 8 * len(encoder.finish())
    # A decision costs 16 bits at the most: outliers take less than the floor alone would say.
    n_outliers = share * pixels[:n_channels].size
    assert bits - 10.0 * n_outliers - 200.0 < taken * 1.01
    assert taken < 1.03 * bits + 100.0
    if share:
        assert taken < 0.8 * -parameters.log_prob(values, n_channels).sum().item() / math.log(2.0)


def test_an_outlier_costs_what_the_floor_says_and_leaves_the_weights_to_the_next_channel():
    shape = (1, 1)
    parameters = LogisticParameters(
        mean=torch.tensor([100.0, 200.0]).reshape(1, 2, 1, 1, 1).expand(1, 2, 3, *shape),
        log_scale=torch.full((1, 2, 3, *shape), -4.0),
        logit=torch.zeros(1, 2, *shape),
    ).each(torch.Tensor.double)
    outlier = torch.full((1, 3, *shape), 0.0).double()
    assert coded_bits(parameters, outlier, 1).item() == pytest.approx(26.0, abs=1e-4)
    # Red tells nothing of the component, green that it is the first, so that blue is certain.
    outlier[0, 1:] = 100.0
    assert coded_bits(parameters, outlier, 3).item() == pytest.approx(27.0, abs=1e-4)


def test_coded_bits_of_all_values_are_a_distribution():
    parameters = mixtures(0).cropped(1, 1).each(lambda part: part.expand(*part.shape[:-1], 256))
    values = torch.arange(256.0).double()
    pixels = values.expand(1, 3, 1, 256)
    assert (2.0 ** -coded_bits(parameters, pixels, 1)).sum().item() == pytest.approx(1.0, abs=1e-9)


def test_gradients_of_outliers_vanish_where_the_floor_holds_them():
    mean = torch.full((1, 1, 3, 1, 1), 250.0, dtype=torch.float64, requires_grad=True)
    parameters = LogisticParameters(mean, torch.full_like(mean, -3.0))
    coded_bits(parameters, torch.zeros(1, 3, 1, 1).double(), 3).sum().backward()
    assert mean.grad is not None
    assert mean.grad.abs().max() < 1e-6


@pytest.mark.parametrize("n_channels", [1, 3])
def test_outliers_do_not_lead_calibrations_astray(n_channels):
    said = mixtures(1)
    true = replace(said, log_scale=said.log_scale + math.log(2.0))
    pixels = true.sample(torch.Generator().manual_seed(0))
    # A hundredth lies so far out that no scale explains it.
    is_out = torch.rand(SIZE, generator=torch.Generator().manual_seed(1)) < 0.01
    pixels[..., is_out] = 255.0
    found = fitted_calibration(pixels, n_channels, said, Calibration())
    steps = torch.tensor(found, dtype=torch.float64)
    bits = coded_bits(calibrated(said, steps), pixels, n_channels).sum()
    best = coded_bits(true, pixels, n_channels).sum()
    assert bits < 1.01 * best
