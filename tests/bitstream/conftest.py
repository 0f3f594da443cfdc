from collections.abc import Callable, Iterator
from dataclasses import dataclass

import jaxtyping
import numpy as np
import pytest

from irec.bitstream import LogisticParameters


@dataclass(frozen=True)
class Sample:
    """An image drawn from known likelihood parameters."""

    parameters: LogisticParameters
    pixels: np.ndarray


def float_bits(parameters: LogisticParameters, pixels: np.ndarray) -> float:
    """-log2 p(pixels) in plain float64: an implementation that shares nothing with the package."""
    total = 0.0
    for channel in range(pixels.shape[0]):
        mean = _mean_given_earlier_channels(parameters, pixels, channel)
        scale = np.exp(parameters.log_scale[channel])
        value = pixels[channel].astype(np.float64)
        # The side of the mean on which the difference of two values near one does not cancel.
        sign = np.where(value < mean, 1.0, -1.0)
        upper = np.where(value == 255, np.inf, (value + 0.5 - mean) / scale) * sign
        lower = np.where(value == 0, -np.inf, (value - 0.5 - mean) / scale) * sign
        total -= float(np.log2(np.abs(_sigmoid(upper) - _sigmoid(lower))).sum())
    return total


@pytest.fixture
def no_type_checks() -> Iterator[None]:
    """For tests of a check that the shape annotations, where they are enforced, would forestall."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="session")
def draw_sample() -> Callable[[int, int, int, int], Sample]:
    """draw_sample(channels, height, width, seed): smooth means, noise of 0.5 to 8 grey levels."""

    def draw(n_channels: int, height: int, width: int, seed: int) -> Sample:
        rng = np.random.default_rng(seed)
        shape = (n_channels, height, width)
        y, x = np.mgrid[:height, :width]
        smooth = 128 + 60 * np.sin(x / 20) + 40 * np.cos(y / 13)
        parameters = LogisticParameters(
            mean=smooth + rng.normal(0, 2, shape),
            log_scale=rng.uniform(np.log(0.5), np.log(8), shape),
            coupling=rng.uniform(-0.5, 1, shape) if n_channels == 3 else None,
        )
        pixels = np.zeros(shape, np.uint8)
        for channel in range(n_channels):
            mean = _mean_given_earlier_channels(parameters, pixels, channel)
            uniform = rng.random((height, width))
            noise = np.exp(parameters.log_scale[channel]) * np.log(uniform / (1 - uniform))
            pixels[channel] = np.clip(np.rint(mean + noise), 0, 255)
        return Sample(parameters, pixels)

    return draw


def _mean_given_earlier_channels(
    parameters: LogisticParameters, pixels: np.ndarray, channel: int
) -> np.ndarray:
    mean = parameters.mean[channel].copy()
    if parameters.coupling is not None and channel == 1:
        mean += parameters.coupling[0] * (pixels[0] - 127.5)
    if parameters.coupling is not None and channel == 2:
        mean += parameters.coupling[1] * (pixels[0] - 127.5)
        mean += parameters.coupling[2] * (pixels[1] - 127.5)
    return mean


def _sigmoid(argument: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(argument, -700, 700)))
