"""How the unit variance of a prior coordinate is dealt out to a block's steps.

After step k of K the partial sum has prior variance c_k, with c_K = 1. Each step should release the
same KL; for one kind of dimension that gives c_k = (1 - r^(k/K)) / (1 - r) with one parameter r.
Source: iREC, arXiv 2010.01185, appendix on auxiliary variables, for the power law.
"""

import math
from functools import lru_cache

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from irec.errors import InvalidParameterError

N_RHOS = 80
# Down to deviations of 1e-6, so close that one of them is near what any deviation wants.
_RATIO_EXPONENTS = [j / 2 for j in range(N_RHOS)]
_PAPER_EXPONENT = 0.7864636765648174
# Of a tensor, looked at on the whole grid of c together: what that takes stays in the cache.
_DIMS_AT_ONCE = 2048


def rho_of_index(rho_index: int) -> float:
    """Return rho, in [0, 1), of an index of the geometric schedule; see `geometric_variances`."""
    return 1.0 - 2.0 ** -_RATIO_EXPONENTS[rho_index]


def geometric_variances(n_steps: int, rho_index: int) -> list[float]:
    """Return the steps' variances sigma_k^2 of the geometric schedule; they sum to one.

    Args:
        n_steps: Steps K of the block, at least 1.
        rho_index: Index j in [0, 80) of the ratio 1 - rho, which is 2^(-j/2). With j = 0 all steps
            are equal; the larger j, the smaller the last steps: a posterior of deviation s wants a
            ratio near s^2.

    Raises:
        InvalidParameterError: If an argument is out of range.
    """
    if n_steps < 1 or not 0 <= rho_index < N_RHOS:
        raise InvalidParameterError(f"No schedule of {n_steps} steps with rho index {rho_index}.")
    if rho_index == 0:
        return [1.0 / n_steps] * n_steps
    log_ratio = -math.log(2.0) * _RATIO_EXPONENTS[rho_index]
    # Differences of c_k in closed form: subtracting neighbours would lose the small last steps.
    first = math.expm1(log_ratio / n_steps) / math.expm1(log_ratio)
    return [first * math.exp(log_ratio * k / n_steps) for k in range(n_steps)]


def power_law_variances(n_steps: int) -> list[float]:
    """Return the steps' variances sigma_k^2 of the paper's schedule; they sum to one.

    The step with i steps still to come takes (i + 1)^-0.786 of the variance that is left.

    Raises:
        InvalidParameterError: If there is no step.
    """
    if n_steps < 1:
        raise InvalidParameterError("A schedule needs at least one step.")
    left = 1.0
    variances = []
    for still_to_come in reversed(range(n_steps)):
        variances.append(left * (still_to_come + 1) ** -_PAPER_EXPONENT)
        left -= variances[-1]
    return variances


def fit_rho_index(
    mean: Float64[Tensor, " *batch dims"], scale: Float64[Tensor, " *batch dims"]
) -> Int64[Tensor, " *batch"]:
    """Choose the geometric schedule under which a tensor's KL is released most evenly in time.

    The choice minimises the integral over time t in [0, 1] of (KL(c(t)) / KL(1) - t)^2, evaluated
    on a fixed grid of c, where every schedule's t(c) is known in closed form.

    Args:
        mean: Whitened posterior means m.
        scale: Whitened posterior standard deviations s.

    Returns:
        Indices in [0, 80); 0 where the KL is 0.
    """
    remaining, times, weights = (part.to(mean.device) for part in _grid())
    variance_drop = 1.0 - scale.square()
    linear = 0.5 * (mean.square() - variance_drop).sum(-1, keepdim=True)
    used = 1.0 - remaining
    narrowing = torch.zeros_like(used)
    for some in variance_drop.split(_DIMS_AT_ONCE, -1):
        narrowing = narrowing + torch.log1p(-used.unsqueeze(-1) * some.unsqueeze(-2)).sum(-1)
    curve = used * linear - 0.5 * narrowing  # [*batch, grid]
    total = curve[..., -1]
    curve = curve / total.unsqueeze(-1).clamp(min=1e-30)
    best = ((curve.unsqueeze(-2) - times).square() * weights).sum(-1).argmin(-1)
    return torch.where(total > 0, best, 0)


@lru_cache(maxsize=1)
def _grid() -> tuple[Tensor, Tensor, Tensor]:
    """Return 1 - c on the grid [g], and each schedule's t(c) and trapezoid weights [80, g]."""
    halvings = [k / 2 for k in range(41)] + [22.0 + 2 * k for k in range(12)]
    remaining = torch.tensor([2.0**-h for h in halvings] + [0.0], dtype=torch.float64)
    ratio = 2.0 ** -torch.tensor(_RATIO_EXPONENTS[1:], dtype=torch.float64).unsqueeze(-1)
    # 1 - (1 - r) c = r + (1 - r)(1 - c)
    times = torch.log(ratio + (1.0 - ratio) * remaining) / torch.log(ratio)
    times = torch.cat([(1.0 - remaining).unsqueeze(0), times])
    gaps = times.diff(dim=-1)
    zero = torch.zeros(N_RHOS, 1).double()
    weights = 0.5 * (torch.cat([gaps, zero], dim=-1) + torch.cat([zero, gaps], dim=-1))
    return remaining, times, weights
