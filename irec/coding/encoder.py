"""Encode samples: try numbers of steps until each tensor's sample hits its posterior."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Bool
from torch import Tensor
from torch.distributions import Normal

from irec.coding.arguments import as_normal
from irec.coding.decoder import decode_with
from irec.coding.gaussians import WhitenedPosterior, add_batch, whiten
from irec.coding.plan import make_plan, search_plans, steps_and_rho
from irec.coding.settings import (
    DEFAULT_CODER,
    DEFAULT_SEARCH,
    CoderSettings,
    SearchSettings,
)
from irec.coding.shared_randomness import SharedRandomness
from irec.coding.tensor_code import MAX_BLOCK_DOUBLINGS, TensorCode
from irec.errors import InvalidParameterError

# Where searched posteriors are clipped, so that float32 holds every product. The sample then aims
# at a posterior a little wider, which costs less than a nat where it could matter at all.
_MIN_SCALE, _MAX_SCALE, _MAX_MEAN = 1e-7, 1e6, 1e6
# Steps for a KL of one step. What is lost is flat near the first (benchmarks/posteriors.py).
# Where dimensions hold much, a block may fall behind and never catch up: then more steps, one after
# the other, until none does.
_STEPS_PER_KL = (1.05, 1.07, 1.09, 1.11, 1.13, 1.15, 1.2, 1.3, 1.5, 2.0)
# Tensors of few nats are searched again with these: their few whole steps fit one sample well and
# another badly. That brings 9 % lost of 34 nats, and of 78, to 6 % (benchmarks/posteriors.py).
_FEW_NATS, _OTHER_STEPS_PER_KL = 100.0, (0.95, 1.0, 1.1)
# Below this deviation, float32 may not tell a search how good a last step of unit variance is.
_NARROW = 4e-3
# A sample misses its posterior if its log-ratio lies so many standard deviations below what a
# search of this effort finds of it, less half as much again as it usually loses.
_DEVIATIONS, _LOSSES = 3.0, 1.5
# No dimension should hold more than this share of what its block can send.
_HOT_SHARE = 0.5


def encode(
    posterior: Normal,
    prior: Normal,
    seed: int,
    *,
    tensor: int = 0,
    coder: CoderSettings = DEFAULT_CODER,
    search: SearchSettings = DEFAULT_SEARCH,
) -> TensorCode:
    """Encode one sample of a diagonal Gaussian posterior.

    Args:
        posterior: Parameters of any shape.
        prior: Parameters of the same shape.
        seed: In [0, 2^64); decoding needs the same.
        tensor: Number of the tensor, so that tensors of one image have numbers of their own.
        coder: What the decoder must know too.
        search: How hard to look.

    Returns:
        The code; :func:`decode` turns it into the sample.

    Raises:
        InvalidParameterError: If shapes differ, a parameter is NaN or infinite, a scale is not
            positive, or seed or tensor is out of range.
    """
    return encode_batch(
        add_batch(posterior), add_batch(prior), seed, tensor=tensor, coder=coder, search=search
    )[0]


def encode_batch(
    posterior: Normal,
    prior: Normal,
    seed: int,
    *,
    tensor: int = 0,
    coder: CoderSettings = DEFAULT_CODER,
    search: SearchSettings = DEFAULT_SEARCH,
) -> list[TensorCode]:
    """Encode a sample of each posterior of a batch, searching all of them together.

    Args:
        posterior: Parameters of shape ``[n, *shape]``: n independent tensors, one per image.
        prior: Parameters of the same shape.
        seed: As for :func:`encode`.
        tensor: As for :func:`encode`.
        coder: As for :func:`encode`.
        search: As for :func:`encode`.

    Returns:
        n codes, each of which decodes by itself as well as in any batch.

    Raises:
        InvalidParameterError: As :func:`encode`, or if there is no leading dimension.
    """
    posterior, prior = as_normal(posterior, "posterior"), as_normal(prior, "prior")
    if posterior.loc.ndim == 0:
        raise InvalidParameterError("encode_batch needs a leading dimension; encode does not.")
    randomness = SharedRandomness(seed, tensor, posterior.loc.device)
    target = _searchable(posterior, prior)
    codes = _encode_until_they_hit(target, coder, search, randomness)
    n_missing = int(_misses(target, codes, coder, search).sum())
    if n_missing:
        warnings.warn(
            f"{n_missing} of {len(codes)} samples of tensor {tensor} miss their posteriors: compare"
            " log_ratio_nats of their codes with their KL. Take more effort, or posteriors that"
            " hold less in one dimension.",
            stacklevel=2,
        )
    return codes


def _encode_until_they_hit(
    target: WhitenedPosterior,
    coder: CoderSettings,
    search: SearchSettings,
    randomness: SharedRandomness,
) -> list[TensorCode]:
    """Encode a sample of each tensor, ``[n, dims]``, with more steps where it misses."""
    codes = _encode_once(target, coder, search, randomness, _STEPS_PER_KL[0])
    of_few_nats = target.kl_nats().sum(1) < _FEW_NATS
    for steps_per_kl in _OTHER_STEPS_PER_KL:
        codes = _tried_with(steps_per_kl, of_few_nats, codes, target, coder, search, randomness)
    missing = _misses(target, codes, coder, search)
    if coder.doubles_blocks:
        for n in missing.nonzero().flatten().tolist():
            one = WhitenedPosterior(target.mean[n], target.scale[n])
            codes[n] = _cheapest(
                codes[n], _encode_in_longer_blocks(one, coder, search, randomness), coder
            )
    for steps_per_kl in _STEPS_PER_KL[1:]:
        missing = _misses(target, codes, coder, search)
        if not missing.any():
            break
        codes = _tried_with(steps_per_kl, missing, codes, target, coder, search, randomness)
    return codes


def _tried_with(
    steps_per_kl: float,
    chosen: Bool[Tensor, " n"],
    codes: Sequence[TensorCode],
    target: WhitenedPosterior,
    coder: CoderSettings,
    search: SearchSettings,
    randomness: SharedRandomness,
) -> list[TensorCode]:
    """Return the codes; of the chosen tensors the cheaper one, as it was or with other steps."""
    cheapest = list(codes)
    if chosen.any():
        rest = WhitenedPosterior(target.mean[chosen], target.scale[chosen])
        others = _encode_once(rest, coder, search, randomness, steps_per_kl)
        for n, code in zip(chosen.nonzero().flatten().tolist(), others, strict=True):
            cheapest[n] = _cheapest(codes[n], code, coder)
    return cheapest


def _encode_once(
    target: WhitenedPosterior,
    coder: CoderSettings,
    search: SearchSettings,
    randomness: SharedRandomness,
    steps_per_kl: float,
) -> list[TensorCode]:
    """Encode a sample of each tensor, ``[n, dims]``, with a given number of steps for its KL."""
    plans = [
        make_plan(WhitenedPosterior(mean, scale), coder, search, randomness, steps_per_kl)
        for mean, scale in zip(target.mean, target.scale, strict=True)
    ]
    search_plans([plan for plan in plans if plan], randomness, coder, search)
    prior_draw = TensorCode(0, 0, torch.zeros(0, dtype=torch.int64))
    codes = [plan.code(coder.order) if plan else prior_draw for plan in plans]
    is_narrow = (target.scale < _NARROW).any(1).tolist()
    return [
        _weighed(code, target.mean[n], target.scale[n], coder, randomness)
        if is_narrow[n] or code.n_steps == 0
        else code
        for n, code in enumerate(codes)
    ]


def _weighed(
    code: TensorCode,
    mean: Tensor,
    scale: Tensor,
    coder: CoderSettings,
    randomness: SharedRandomness,
) -> TensorCode:
    """Return the code with the log-ratio of what it decodes to, in float64."""
    u = decode_with(code, mean.numel(), coder, randomness)
    log_ratio = float(WhitenedPosterior(mean, scale).log_ratio_nats(u[None]).sum())
    return replace(code, log_ratio_nats=log_ratio)


def _encode_in_longer_blocks(
    posterior: WhitenedPosterior,
    coder: CoderSettings,
    search: SearchSettings,
    randomness: SharedRandomness,
) -> TensorCode | None:
    """Encode one tensor, ``[dims]``, in blocks that can send what its hottest dimension holds.

    Returns:
        The code, or None where usual blocks can.
    """
    _, rho_index, kl, _ = steps_and_rho(posterior, coder, search, _STEPS_PER_KL[0])
    needed_steps = float(kl.max()) / (_HOT_SHARE * coder.nats_per_step)
    times = math.ceil(math.log2(max(1.0, needed_steps / coder.usual_steps(rho_index))))
    times = min(times, MAX_BLOCK_DOUBLINGS)
    if times == 0:
        return None
    alone = WhitenedPosterior(posterior.mean[None], posterior.scale[None])
    longer = replace(coder.doubled(times), doubles_blocks=False)
    (code,) = _encode_until_they_hit(alone, longer, search, randomness)
    return replace(code, block_doublings=times)


def _cheapest(code: TensorCode, other: TensorCode | None, coder: CoderSettings) -> TensorCode:
    """Return the code that wastes less."""
    return code if other is None or _waste(code, coder) <= _waste(other, coder) else other


def _waste(code: TensorCode, coder: CoderSettings) -> float:
    """Return the nats sent less the log-ratio."""
    assert code.log_ratio_nats is not None
    return code.n_bits(coder) * math.log(2.0) - code.log_ratio_nats


def _misses(
    target: WhitenedPosterior,
    codes: Sequence[TensorCode],
    coder: CoderSettings,
    search: SearchSettings,
) -> Bool[Tensor, " n"]:
    """Return which samples are none of their posteriors, ``[n, dims]``."""
    variance = target.scale.square()
    # Of the log-ratio of a posterior's own samples; their mean is the KL.
    deviation = (variance * target.mean.square() + 0.5 * (1.0 - variance).square()).sum(1).sqrt()
    usual = (1.0 - _LOSSES * search.expected_loss(coder)) * target.kl_nats().sum(1)
    found = torch.tensor([code.log_ratio_nats for code in codes], dtype=torch.float64)
    return found < (usual - _DEVIATIONS * deviation).cpu()


def planned_steps(
    posterior: Normal,
    prior: Normal,
    *,
    coder: CoderSettings = DEFAULT_CODER,
    search: SearchSettings = DEFAULT_SEARCH,
) -> list[tuple[int, int]]:
    """Tell what :func:`encode_batch` chooses before it searches; arguments as there.

    Where a sample then misses its posterior, it takes more steps; of a tensor of few nats,
    whichever number of steps wastes least.

    Returns:
        Number of steps and index of the schedule's rho of each posterior of the batch.
    """
    target = _searchable(posterior, prior)
    return [
        steps_and_rho(WhitenedPosterior(mean, scale), coder, search, _STEPS_PER_KL[0])[:2]
        for mean, scale in zip(target.mean, target.scale, strict=True)
    ]


def _searchable(posterior: Normal, prior: Normal) -> WhitenedPosterior:
    """Whiten posteriors, and clip them to what the search can hold."""
    whitened = whiten(posterior, prior)
    return WhitenedPosterior(
        whitened.mean.clamp(-_MAX_MEAN, _MAX_MEAN), whitened.scale.clamp(_MIN_SCALE, _MAX_SCALE)
    )
