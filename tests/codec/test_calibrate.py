"""The fit of calibrations finds corrections that are there, wherever it starts."""

import pytest
import torch

from irec.bitstream.calibration import Calibration
from irec.codec.calibrate import _spread, calibrated, calibrated_bits, fitted_calibration
from irec.models.likelihoods import LogisticParameters

TRUE = Calibration(red_scale=6, green_scale=-4, blue_scale=3, green_from_red=5)


def mixtures(height, width):
    """Mixtures of two logistics, no two pixels' alike."""
    generator = torch.Generator().manual_seed(0)

    def numbers(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    base = 128.0 + 20.0 * numbers(1, 3, height, width)
    return LogisticParameters(
        base=base,
        mean=base[:, None] + 4.0 * numbers(1, 2, 3, height, width),
        log_scale=1.0 + 0.3 * numbers(1, 2, 3, height, width),
        coupling=0.5 + 0.1 * numbers(1, 2, 3, height, width),
        logit=numbers(1, 2, height, width),
    )


@pytest.mark.parametrize("before", [Calibration(), Calibration(-7, -10, -7, 5, 0, 3, -1, -9, 4)])
def test_corrections_that_are_there_are_found_from_any_start(before):
    parameters = mixtures(64, 64)
    steps = torch.tensor(TRUE, dtype=torch.float64)
    truth = calibrated(parameters, steps)
    pixels = truth.sample(torch.Generator().manual_seed(1))
    found = fitted_calibration(pixels, 3, parameters, before)

    def bits(one):
        return float(calibrated_bits(parameters, torch.tensor(one, dtype=torch.float64), pixels, 3))

    # All but 2 % of what is to be won: by as much, chance draws other pixels.
    assert bits(found) - bits(TRUE) < 0.02 * (bits(Calibration()) - bits(TRUE))


@pytest.mark.parametrize(("height", "width"), [(256, 384), (256, 256), (300, 200), (1, 100_000)])
def test_pixels_of_every_column_and_part_are_looked_at(height, width):
    chosen = _spread(height * width)
    assert len(chosen.unique()) == len(chosen) == 4096
    share_of_columns = torch.bincount(chosen % width, minlength=width).double() / len(chosen)
    share_of_parts = torch.bincount(chosen * 16 // (height * width), minlength=16) / len(chosen)
    assert share_of_columns.max() < 5.0 / min(width, 4096)
    assert abs(share_of_parts - 1.0 / 16.0).max() < 0.002
