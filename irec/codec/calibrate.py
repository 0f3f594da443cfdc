"""The encoder's choice of a calibration: which corrections of a phase's mixtures save most bits.

A file holds what was chosen (:mod:`irec.bitstream.calibration`), so nothing here binds a decoder.
"""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from irec.bitstream.calibration import (
    COUPLING_BITS,
    GAIN_BITS,
    LOG_SCALE_BITS,
    MAX_STEPS,
    Calibration,
)
from irec.models.likelihoods import LogisticParameters

# A calibration takes some fifty bits, which few values cannot win back.
_MIN_VALUES = 1000
# So many pixels, evenly spread, tell what fits all.
_MAX_PIXELS = 2048
_MAX_ITERATIONS = 8
# The search ends where no number moves by so many steps, or no bit is won.
_TOLERANCE = 0.3
# Bits that a step's square away from the phase before is thought to cost, so that few pixels do
# not lead far.
_PULL = 0.02


def fitted_calibration(
    pixels: UInt8[np.ndarray, "c h w"], parameters: LogisticParameters, before: Calibration
) -> Calibration:
    """Find the calibration under which a phase's pixels and the calibration itself cost least.

    Args:
        pixels: Of the phase; c is 1 of a grey image, else 3.
        parameters: Of the same pixels of one image, float64.
        before: Calibration of the phase before.

    Returns:
        `before`, or one that saves more than it costs.
    """
    if pixels.size < _MIN_VALUES:
        return before
    with torch.inference_mode(False), torch.enable_grad():
        sample, values, weight = _sample(pixels, parameters)
        names = Calibration.fields(len(pixels))

        def bits(steps: Tensor) -> Tensor:
            nats = -calibrated(sample, steps).log_prob(values, len(pixels)).sum()
            return nats * (weight / math.log(2.0))

        start = torch.tensor(before, dtype=torch.float64)
        free = torch.tensor([name in names for name in Calibration._fields], dtype=torch.float64)
        found = _least(lambda steps: bits(start + free * (steps - start)), start)
        steps = start + free * (found - start)
        new = Calibration(*(int(step) for step in steps.round().clamp(-MAX_STEPS, MAX_STEPS)))

        def total(one: Calibration) -> float:
            cost = float(bits(torch.tensor(one, dtype=torch.float64)).detach())
            return cost + one.n_bits(before, len(pixels))

        return min((before, new), key=total)


def calibrated(parameters: LogisticParameters, steps: Float[Tensor, " 9"]) -> LogisticParameters:
    """Return what :meth:`Calibration.apply` does, in floating point and differentiable.

    Args:
        parameters: Of any pixels.
        steps: As the fields of :class:`Calibration`, not necessarily whole.
    """
    scale, coupling = steps[0:3] * 2.0**-LOG_SCALE_BITS, steps[4:7] * 2.0**-COUPLING_BITS
    scale_gain, mean_gain, weight_gain = (1.0 + steps[[3, 7, 8]] * 2.0**-GAIN_BITS).unbind()
    assert parameters.base is not None
    assert parameters.logit is not None
    assert parameters.coupling is not None
    base = parameters.base[:, None]
    logit = parameters.logit - parameters.logit.amax(1, keepdim=True)
    return replace(
        parameters,
        mean=base + mean_gain * (parameters.mean - base),
        log_scale=(scale_gain * parameters.log_scale + scale[:, None, None]).clamp(-5.0, 5.0),
        coupling=parameters.coupling + coupling[:, None, None],
        logit=weight_gain * logit,
    )


def _sample(
    pixels: UInt8[np.ndarray, "c h w"], parameters: LogisticParameters
) -> tuple[LogisticParameters, Float[Tensor, "1 3 1 n"], float]:
    """Return some pixels and their mixtures, and how many pixels each of them stands for."""
    n_pixels = pixels[0].size
    stride = max(1, n_pixels // _MAX_PIXELS)

    def some(values: Tensor | None) -> Tensor:
        assert values is not None
        # Out of inference mode, in which gradients are not to be had.
        return values.flatten(-2)[..., ::stride].unsqueeze(-2).clone()

    chosen = LogisticParameters(
        some(parameters.mean),
        some(parameters.log_scale),
        some(parameters.coupling),
        some(parameters.logit),
        some(parameters.base),
    )
    colours = np.broadcast_to(pixels, (3, *pixels.shape[1:]))
    values = some(torch.tensor(colours)[None].to(parameters.mean))
    return chosen, values, n_pixels / values.shape[-1]


def _least(bits: Callable[[Tensor], Tensor], start: Float[Tensor, " 9"]) -> Float[Tensor, " 9"]:
    """Find where bits and the way from `start` together are least, as far as some steps lead."""
    steps = start.clone().requires_grad_()
    optimiser = torch.optim.LBFGS(
        [steps],
        lr=1.0,
        max_iter=_MAX_ITERATIONS,
        tolerance_change=_TOLERANCE,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = bits(steps) + _PULL * (steps - start).square().sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    return steps.detach().nan_to_num(0.0)
