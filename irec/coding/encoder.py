"""Encode samples: try numbers of steps until each tensor's sample hits its posterior."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch.distributions import Normal

from irec.coding.arguments import as_normal
from irec.coding.decoder import decode_with
from irec.coding.gaussians import WhitenedPosterior, add_batch, whiten
from irec.coding.parallel import map_on_cores
from irec.coding.plan import Target, aim_at, make_plan, search_plans
from irec.coding.settings import (
    DEFAULT_CODER,
    DEFAULT_SEARCH,
    CoderSettings,
    SearchSettings,
)
from irec.coding.shared_randomness import SharedRandomness
from irec.coding.tensor_code import MAX_BLOCK_DOUBLINGS, MAX_STEPS_PER_DIMENSION, TensorCode
from irec.errors import InvalidParameterError

# Where searched posteriors are clipped, so that float32 holds every product. The sample then aims
# at a posterior a little wider, which costs less than a nat where it could matter at all.
_MIN_SCALE, _MAX_SCALE, _MAX_MEAN = 1e-7, 1e6, 1e6
# Steps for a KL of one step. What is lost is flat near the first (benchmarks/posteriors.py).
# Where dimensions hold much, a block may fall behind and never catch up: then more steps, one after
# the other, until none does.
_STEPS_PER_KL = (1.05, 1.07, 1.09, 1.11, 1.13, 1.15, 1.2, 1.3, 1.5, 2.0)
# Tensors of few nats are searched with these too: their few whole steps fit one sample well and
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
    encoder = _Encoder(coder, search, SharedRandomness(seed, tensor, posterior.loc.device))
    targets = _targets(posterior, prior, search)
    codes = encoder.encode(targets)
    n_missing = sum(map(encoder.misses, targets, codes))
    if n_missing:
        warnings.warn(
            f"{n_missing} of {len(codes)} samples of tensor {tensor} miss their posteriors: compare"
            " log_ratio_nats of their codes with their KL. Take more effort, or posteriors that"
            " hold less in one dimension.",
            stacklevel=2,
        )
    return codes


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
    targets = _targets(posterior, prior, search)
    steps = [_n_steps(target, coder, _STEPS_PER_KL[0]) for target in targets]
    return [(n, target.rho_index if n else 0) for n, target in zip(steps, targets, strict=True)]


def _targets(posterior: Normal, prior: Normal, search: SearchSettings) -> list[Target]:
    """Whiten a batch of posteriors, clip them to what the search can hold, and look at each."""
    whitened = whiten(posterior, prior)
    mean = whitened.mean.clamp(-_MAX_MEAN, _MAX_MEAN)
    scale = whitened.scale.clamp(_MIN_SCALE, _MAX_SCALE)
    batch = [WhitenedPosterior(*parts) for parts in zip(mean, scale, strict=True)]
    return map_on_cores(
        lambda one: aim_at(one, search.negligible_kl_fraction), batch, mean.device.type
    )


def _n_steps(target: Target, coder: CoderSettings, steps_per_kl: float) -> int:
    """Return the steps that a tensor takes."""
    n_steps = round(steps_per_kl * target.total_kl_nats / coder.nats_per_step)
    return min(n_steps, MAX_STEPS_PER_DIMENSION * target.kl_nats.numel())


@dataclass(frozen=True)
class _Encoder:
    """Encodes targets of one tensor."""

    coder: CoderSettings
    search: SearchSettings
    randomness: SharedRandomness

    def encode(self, targets: Sequence[Target]) -> list[TensorCode]:
        """Encode a sample of each target, with more steps where it misses."""
        codes = self._cheapest_with(targets, (_STEPS_PER_KL[0],), _OTHER_STEPS_PER_KL)
        if self.coder.doubles_blocks:
            for n in self._missing(targets, codes):
                longer = self._encode_in_longer_blocks(targets[n])
                codes[n] = min((codes[n], *longer), key=self._waste)
        for steps_per_kl in _STEPS_PER_KL[1:]:
            missing = self._missing(targets, codes)
            if not missing:
                break
            others = self._cheapest_with([targets[n] for n in missing], (steps_per_kl,))
            for n, other in zip(missing, others, strict=True):
                codes[n] = min((codes[n], other), key=self._waste)
        return codes

    def misses(self, target: Target, code: TensorCode) -> bool:
        """Return whether a sample is none of its posterior."""
        assert code.log_ratio_nats is not None
        usual = (1.0 - _LOSSES * self.search.expected_loss(self.coder)) * target.total_kl_nats
        return code.log_ratio_nats < usual - _DEVIATIONS * target.log_ratio_deviation_nats

    def _missing(self, targets: Sequence[Target], codes: Sequence[TensorCode]) -> list[int]:
        return [n for n, pair in enumerate(zip(targets, codes, strict=True)) if self.misses(*pair)]

    def _waste(self, code: TensorCode) -> float:
        """Return the nats sent less the log-ratio."""
        assert code.log_ratio_nats is not None
        return code.n_bits(self.coder) * math.log(2.0) - code.log_ratio_nats

    def _cheapest_with(
        self,
        targets: Sequence[Target],
        steps_per_kl: tuple[float, ...],
        of_few_nats: tuple[float, ...] = (),
    ) -> list[TensorCode]:
        """Encode each target with different numbers of steps, and return its cheapest code.

        Args:
            targets: The targets; all are searched together.
            steps_per_kl: Numbers of steps, relative to what its KL is worth.
            of_few_nats: More of these, for targets of few nats.
        """
        tries = []
        for target in targets:
            factors = steps_per_kl
            if target.total_kl_nats < _FEW_NATS:
                factors += of_few_nats
            # As whole numbers, some are the same.
            tries.append(dict.fromkeys(_n_steps(target, self.coder, f) for f in factors))
        jobs = [(target, n) for target, steps in zip(targets, tries, strict=True) for n in steps]
        codes = iter(self._encode_with(jobs))
        return [min((next(codes) for _ in steps), key=self._waste) for steps in tries]

    def _encode_with(self, jobs: Sequence[tuple[Target, int]]) -> list[TensorCode]:
        """Encode a sample of each target with a given number of steps."""
        plans = map_on_cores(
            lambda job: make_plan(*job, self.coder, self.search, self.randomness),
            jobs,
            self.randomness.device.type,
        )
        search_plans([plan for plan in plans if plan], self.randomness, self.coder, self.search)
        prior_draw = TensorCode(0, 0, torch.zeros(0, dtype=torch.int64))
        codes = [plan.code(self.coder.order) if plan else prior_draw for plan in plans]
        return [
            self._weigh(target, code) if target.is_narrow(_NARROW) or code.n_steps == 0 else code
            for (target, _), code in zip(jobs, codes, strict=True)
        ]

    def _weigh(self, target: Target, code: TensorCode) -> TensorCode:
        """Return the code with the log-ratio of what it decodes to, in float64."""
        u = decode_with(code, target.kl_nats.numel(), self.coder, self.randomness)
        return replace(code, log_ratio_nats=float(target.posterior.log_ratio_nats(u).sum()))

    def _encode_in_longer_blocks(self, target: Target) -> list[TensorCode]:
        """Encode in blocks that can send what the hottest dimension holds.

        Returns:
            The code, or none where usual blocks can.
        """
        hottest = float(target.kl_nats.max())
        needed_steps = hottest / (_HOT_SHARE * self.coder.nats_per_step)
        usual_steps = self.coder.usual_steps(target.rho_index)
        times = math.ceil(math.log2(max(1.0, needed_steps / usual_steps)))
        times = min(times, MAX_BLOCK_DOUBLINGS)
        if times == 0:
            return []
        longer = replace(self.coder.doubled(times), doubles_blocks=False)
        (code,) = replace(self, coder=longer).encode([target])
        return [replace(code, block_doublings=times)]
