from collections.abc import Callable
from dataclasses import dataclass

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
    n_components = len(parameters.mean)
    log_joint = np.zeros((n_components, *pixels.shape[1:]))
    if parameters.logit is not None:
        log_joint += parameters.logit - np.log(np.exp(parameters.logit).sum(0))
    for component in range(n_components):
        for channel in range(pixels.shape[0]):
            mean = mean_given_earlier_channels(parameters, component, pixels, channel)
            scale = np.exp(parameters.log_scale[component, channel])
            value = pixels[channel].astype(np.float64)
            # The side of the mean on which the difference of two values near one does not cancel.
            sign = np.where(value < mean, 1.0, -1.0)
            upper = np.where(value == 255, np.inf, (value + 0.5 - mean) / scale) * sign
            lower = np.where(value == 0, -np.inf, (value - 0.5 - mean) / scale) * sign
            log_joint[component] += np.log(np.abs(_sigmoid(upper) - _sigmoid(lower)) + 1e-300)
    largest = log_joint.max(0)
    return -float((largest + np.log(np.exp(log_joint - largest).sum(0))).sum() / np.log(2))


@pytest.fixture(scope="session")
def draw_sample() -> Callable[..., Sample]:
    """draw_sample(channels, height, width, seed[, components]): noise of 0.5 to 8 grey levels."""

    def draw(n_channels: int, height: int, width: int, seed: int, n_components: int = 1) -> Sample:
        rng = np.random.default_rng(seed)
        shape = (n_components, n_channels, height, width)
        y, x = np.mgrid[:height, :width]
        smooth = 128 + 60 * np.sin(x / 20) + 40 * np.cos(y / 13)
        is_colour, is_mixed = n_channels == 3, n_components > 1
        parameters = LogisticParameters(
            mean=smooth + rng.normal(0, 2 + 20 * is_mixed, shape),
            log_scale=rng.uniform(np.log(0.5), np.log(8), shape),
            coupling=rng.uniform(-0.5, 1, shape) if is_colour else None,
            logit=rng.normal(0, 2, (n_components, height, width)) if is_mixed else None,
            base=np.rint(4 * (smooth + rng.normal(0, 2, shape[1:]))) / 4 if is_mixed else None,
        )
        weights = np.exp(parameters.logit) if is_mixed else np.ones((1, height, width))
        share = np.cumsum(weights / weights.sum(0), axis=0)
        chosen = (rng.random((height, width)) > share[:-1]).sum(0)
        pixels = np.zeros(shape[1:], np.uint8)
        for channel in range(n_channels):
            means = [
                mean_given_earlier_channels(parameters, component, pixels, channel)
                for component in range(n_components)
            ]
            uniform = rng.random((height, width))
            scale = np.exp(np.choose(chosen, parameters.log_scale[:, channel]))
            drawn = np.choose(chosen, means) + scale * np.log(uniform / (1 - uniform))
            pixels[channel] = np.clip(np.rint(drawn), 0, 255)
        return Sample(parameters, pixels)

    return draw


def mean_given_earlier_channels(
    parameters: LogisticParameters, component: int, pixels: np.ndarray, channel: int
) -> np.ndarray:
    mean = parameters.mean[component, channel].copy()
    base = np.full(pixels.shape, 127.5) if parameters.base is None else parameters.base
    if parameters.coupling is not None and channel == 1:
        mean += parameters.coupling[component, 0] * (pixels[0] - base[0])
    if parameters.coupling is not None and channel == 2:
        mean += parameters.coupling[component, 1] * (pixels[0] - base[0])
        mean += parameters.coupling[component, 2] * (pixels[1] - base[1])
    return mean


def _sigmoid(argument: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(argument, -700, 700)))
