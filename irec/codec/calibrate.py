"""The encoder's choice of a calibration: which corrections of a phase's mixtures save most bits.

A file holds what was chosen (:mod:`irec.bitstream.calibration`), so nothing here binds a decoder.
"""

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from irec.bitstream.calibration import (
    COUPLING_BITS,
    GAIN_BITS,
    LOG_SCALE_BITS,
    MAX_STEPS,
    Calibration,
)
from irec.codec.encoded import coded_bits
from irec.models.likelihoods import LogisticParameters

# What these three win and cost: benchmarks/constants.py NAME.
# Few values seldom win back what a calibration takes, and are not searched.
_MIN_VALUES = 1000
# So many pixels tell what fits all: spread by multiples of the golden ratio, as steps of one length
# would take few columns again and again.
_MAX_PIXELS = 4096
_GOLDEN_RATIO = 0.5 * (math.sqrt(5.0) - 1.0)
_MAX_ITERATIONS = 16
# The search ends where no number moves by so many steps, or no bit is won.
_TOLERANCE = 0.05
# Bits that a step's square away from the phase before is thought to cost, so that few pixels do
# not lead far.
_PULL = 0.02


def fitted_calibration(
    pixels: Float[Tensor, "1 3 h w"],
    n_channels: int,
    parameters: LogisticParameters,
    before: Calibration,
) -> Calibration:
    """Find the calibration under which a phase's pixels and the calibration itself cost least.

    Args:
        pixels: Of the phase, float64.
        n_channels: 1 counts red alone, as for grey images.
        parameters: Of the same pixels, float64.
        before: Calibration of the phase before.

    Returns:
        `before`, or one that saves more than it costs.
    """
    n_pixels = pixels[0, 0].numel()
    if n_pixels * n_channels < _MIN_VALUES:
        return before
    chosen = _spread(n_pixels).to(pixels.device)

    def some(part: Tensor) -> Tensor:
        # Copies: gradients are not to be had of what was made in inference mode.
        return part.flatten(-2)[..., chosen].unsqueeze(-2)

    with torch.inference_mode(False), torch.enable_grad():
        sample, values = parameters.each(some), some(pixels)
        weight = n_pixels / values.shape[-1]
        names = Calibration.fields(n_channels)

        def bits(steps: Tensor) -> Tensor:
            return weight * calibrated_bits(sample, steps, values, n_channels)

        def total(one: Calibration) -> float:
            cost = float(bits(torch.tensor(one, dtype=torch.float64)).detach())
            return cost + one.n_bits(before, n_channels)

        # From a phase unlike this one, no way may lead to what is best here.
        near = min((before, Calibration()), key=total)
        start = torch.tensor(near, dtype=torch.float64)
        free = torch.tensor([name in names for name in Calibration._fields], dtype=torch.float64)
        found = _least(lambda steps: bits(start + free * (steps - start)), start)
        steps = start + free * (found - start)
        new = Calibration(*(int(step) for step in steps.round().clamp(-MAX_STEPS, MAX_STEPS)))

        return min((before, new), key=total)


def _spread(n_pixels: int) -> Int64[Tensor, " chosen"]:
    """Return which pixels are looked at: all, or some in every part and column of the image."""
    if n_pixels <= _MAX_PIXELS:
        return torch.arange(n_pixels)
    places = torch.arange(_MAX_PIXELS, dtype=torch.float64) * _GOLDEN_RATIO % 1.0
    return (places * n_pixels).long()


def calibrated_bits(
    parameters: LogisticParameters,
    steps: Float[Tensor, " 9"],
    pixels: Float[Tensor, "1 3 h w"],
    n_channels: int,
) -> Float[Tensor, ""]:
    """Return what pixels cost under calibrated mixtures; arguments as above and below."""
    return coded_bits(calibrated(parameters, steps), pixels, n_channels).sum()


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
