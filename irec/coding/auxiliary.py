"""One auxiliary variable at a time: importance and rejection sampling (arXiv 2010.01185, 3.2).

Each samples a_k from q(a_k | a_1 .. a_{k-1}) with candidates from its prior N(0, sigma_k^2).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from irec.coding.gaussians import WhitenedPosterior
from irec.errors import InvalidParameterError

DrawRows = Callable[[int, int], Tensor]
"""Gives candidates ``[n, dims]`` of variance one from the first one's number and their count."""

_ROWS_AT_ONCE = 64


@dataclass(frozen=True)
class AuxiliaryTarget:
    """The posterior N(mean, scale^2) of a_k given what is chosen, in units of sigma_k."""

    mean: Float64[Tensor, " dims"]
    scale: Float64[Tensor, " dims"]

    def log_ratio_nats(self, candidates: Float64[Tensor, " n dims"]) -> Float64[Tensor, " n"]:
        """Return ln target - ln prior of each candidate, both relative to sigma_k."""
        return WhitenedPosterior(self.mean, self.scale).log_ratio_nats(candidates).sum(-1)

    def max_log_ratio_nats(self) -> float:
        """Return the largest log-ratio any candidate can have.

        Raises:
            InvalidParameterError: If it is unbounded: in some dimension the target is wider than
                the prior, or as wide and shifted.
        """
        narrowing = 1.0 - self.scale.square()
        if not bool(((narrowing > 0) | ((narrowing == 0) & (self.mean == 0))).all()):
            raise InvalidParameterError(
                "Rejection sampling needs posteriors narrower than their priors in every dimension."
            )
        shift = torch.where(self.mean == 0, 0.0, self.mean.square() / (2.0 * narrowing))
        return float((shift - self.scale.log()).sum())


def auxiliary_target(
    posterior: WhitenedPosterior, chosen_sum: Tensor, reached: float, variance: float
) -> AuxiliaryTarget:
    """Return the posterior of the next auxiliary variable.

    Args:
        posterior: M and s of the block, ``[dims]``.
        chosen_sum: S, the sum of the variables chosen so far, ``[dims]``.
        reached: C, the prior variance of S, below 1.
        variance: sigma_k^2 of the next variable, at most 1 - c.
    """
    left = 1.0 - reached
    # u given S: the product of N(m, s^2) and p(S | u) = N(c u, c (1 - c)).
    precision = posterior.scale.square().reciprocal() + reached / left
    expected = (posterior.mean / posterior.scale.square() + chosen_sum / left) / precision
    # a_k given S and u: a bridge from S at c to u at 1.
    share = variance / left
    bridge = variance * max(0.0, 1.0 - share)
    sigma = math.sqrt(variance)
    scale = (share**2 / precision + bridge).sqrt() / sigma
    return AuxiliaryTarget(share * (expected - chosen_sum) / sigma, scale)


def importance_index(
    target: AuxiliaryTarget, draw: DrawRows, n_candidates: int, noise: Float64[Tensor, " n"]
) -> int:
    """Return one of the first candidates, drawn in proportion to its density ratio.

    Args:
        target: What to sample.
        draw: Gives the candidates.
        n_candidates: How many to weigh.
        noise: Independent standard Gumbel numbers, one per candidate: the largest sum of
            log-weight and Gumbel number is a draw in proportion to the weights.
    """
    return int((target.log_ratio_nats(draw(0, n_candidates)) + noise).argmax())


def rejection_index(
    target: AuxiliaryTarget, draw: DrawRows, max_trials: int, log_uniform: DrawRows
) -> int:
    """Return the first candidate that rejection sampling accepts: an exact sample of the target.

    Args:
        target: What to sample; it must be narrower than the prior. The expected number of trials is
            the exponential of its largest log-ratio, so do not use this in many dimensions.
        draw: Gives the candidates.
        max_trials: Trials after which the candidate of the largest ratio is taken instead.
        log_uniform: Gives logarithms of uniform numbers ``[n]``, arguments as for ``draw``.

    Raises:
        InvalidParameterError: If the target's ratio is unbounded.
    """
    bound = target.max_log_ratio_nats()
    best, best_ratio = 0, -math.inf
    for first in range(0, max_trials, _ROWS_AT_ONCE):
        n = min(_ROWS_AT_ONCE, max_trials - first)
        ratio = target.log_ratio_nats(draw(first, n))
        accepted = (log_uniform(first, n) < ratio - bound).nonzero()
        if len(accepted):
            return first + int(accepted[0])
        top = int(ratio.argmax())
        if float(ratio[top]) > best_ratio:
            best, best_ratio = first + top, float(ratio[top])
    return best
