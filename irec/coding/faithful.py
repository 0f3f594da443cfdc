"""The paper's own coder and simpler samplers, for comparison; nothing here is tuned for speed.

Source: Flamich, Havasi, Hernández-Lobato, arXiv 2010.01185: auxiliary variables (section 3.2), beam
search (section 3.3, algorithm 1). Candidates are drawn independently for every beam, blocks of 1000
dimensions are coded one by one, and variances follow the power law.
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

import torch
from jaxtyping import Float64, Int64
from torch import Tensor
from torch.distributions import Normal

from irec.coding.auxiliary import auxiliary_target, importance_index, rejection_index
from irec.coding.gaussians import WhitenedPosterior, add_batch, check_parameters, whiten
from irec.coding.schedule import power_law_variances
from irec.coding.shared_randomness import SharedRandomness, extend_hash
from irec.errors import CorruptFileError, InvalidParameterError


class Sampler(StrEnum):
    """How one auxiliary variable's candidate is chosen."""

    BEAM = "beam"
    IMPORTANCE = "importance"
    REJECTION = "rejection"


@dataclass(frozen=True)
class FaithfulSettings:
    """The published coder's settings; the defaults are its lossless ones.

    Attributes:
        kl_per_step_nats: Omega, the KL that an auxiliary variable should hold.
        extra_candidates: Epsilon; a step has floor(exp(Omega (1 + epsilon))) candidates.
        n_beams: B; 1 is a greedy choice. Only the beam search has beams.
        block_size: Dimensions coded together, drawn by a random permutation.
        sampler: Beam search keeps the candidates of largest density ratio. Importance sampling
            draws one in proportion to its ratio. Rejection sampling accepts candidates one after
            the other, so that an auxiliary variable is exact but its index unbounded.
        max_trials: Candidates after which rejection sampling takes the best seen.
    """

    kl_per_step_nats: float = 3.0
    extra_candidates: float = 0.2
    n_beams: int = 20
    block_size: int = 1000
    sampler: Sampler = Sampler.BEAM
    max_trials: int = 1 << 16

    def __post_init__(self) -> None:
        """Check the values."""
        if not (self.kl_per_step_nats > 0 and self.extra_candidates >= 0):
            raise InvalidParameterError("Omega must be positive and epsilon not negative.")
        if min(self.n_beams, self.block_size, self.max_trials) < 1:
            raise InvalidParameterError("n_beams, block_size and max_trials must be at least 1.")

    @property
    def n_candidates(self) -> int:
        """Candidates of a step, 36 by default; rejection sampling has no such bound."""
        return math.floor(math.exp(self.kl_per_step_nats * (1.0 + self.extra_candidates)))


@dataclass(frozen=True)
class FaithfulCode:
    """One tensor's code: for every block its steps' indices, int64; none where its KL is 0."""

    indices_of_block: tuple[Tensor, ...]

    def n_nats(self, settings: FaithfulSettings) -> float:
        """Return the length of the indices in nats.

        Rejection sampling's indices have no largest one; each is charged ideal Elias-gamma bits,
        2 floor(log2(index + 1)) + 1.
        """
        indices = torch.cat(self.indices_of_block)
        if settings.sampler is not Sampler.REJECTION:
            return indices.numel() * math.log(settings.n_candidates)
        lengths = [2 * int(i + 1).bit_length() - 1 for i in indices.tolist()]
        return sum(lengths) * math.log(2.0)


def encode_faithful(
    posterior: Normal,
    prior: Normal,
    seed: int,
    *,
    tensor: int = 0,
    settings: FaithfulSettings | None = None,
) -> FaithfulCode:
    """Encode one tensor, of any shape, as the paper does.

    Args:
        posterior: Parameters of any shape.
        prior: Parameters of the same shape.
        seed: In [0, 2^64); decoding needs the same.
        tensor: Number of the tensor, so that tensors of one image have numbers of their own.
        settings: The paper's lossless ones where it is None.

    Raises:
        InvalidParameterError: If shapes differ or a parameter is NaN, infinite or not positive.
    """
    settings = settings or FaithfulSettings()
    whitened = whiten(add_batch(posterior), add_batch(prior))
    randomness = SharedRandomness(seed, tensor, posterior.loc.device)
    blocks = _blocks(whitened.mean.shape[1], settings, randomness)
    return FaithfulCode(
        tuple(
            _encode_block(
                WhitenedPosterior(whitened.mean[0, dims], whitened.scale[0, dims]),
                _Candidates(randomness, number, len(dims)),
                settings,
            )
            for number, dims in enumerate(blocks)
        )
    )


def decode_faithful(
    code: FaithfulCode,
    prior: Normal,
    seed: int,
    *,
    tensor: int = 0,
    settings: FaithfulSettings | None = None,
) -> Tensor:
    """Return the sample that a code of :func:`encode_faithful` stands for.

    Args:
        code: The code.
        prior: The prior it was encoded with; gives shape, type and device of the sample.
        seed: The encoder's, as are ``tensor`` and ``settings``.
        tensor: Number of the tensor.
        settings: The encoder's.

    Raises:
        CorruptFileError: If the code cannot be one of such a prior.
    """
    settings = settings or FaithfulSettings()
    check_parameters(prior, "prior")
    randomness = SharedRandomness(seed, tensor, prior.loc.device)
    n_dims = prior.loc.numel()
    blocks = _blocks(n_dims, settings, randomness)
    if len(blocks) != len(code.indices_of_block):
        raise CorruptFileError(f"{n_dims} dimensions make {len(blocks)} blocks.")
    u = torch.zeros(n_dims, dtype=torch.float64, device=prior.loc.device)
    for number, (dims, indices) in enumerate(zip(blocks, code.indices_of_block, strict=True)):
        u[dims] = _decode_block(indices, _Candidates(randomness, number, len(dims)))
    z = prior.loc.detach().double() + prior.scale.detach().double() * u.view(prior.loc.shape)
    return z.to(prior.loc.dtype)


@dataclass(frozen=True)
class _Candidates:
    """A block's random numbers: independent for every step and every path to it."""

    randomness: SharedRandomness
    block: int
    n_dims: int

    def first_hash(self) -> Tensor:
        return self.randomness.first_hash(torch.tensor(self.block, device=self.randomness.device))

    def rows(self, path_hash: Tensor, first: int, n: int) -> Float64[Tensor, " *paths n dims"]:
        row = torch.arange(first, first + n, device=path_hash.device)
        return self.randomness.after_path(path_hash.unsqueeze(-1), row, self.n_dims).double()

    def log_uniforms(self, path_hash: Tensor, first: int, n: int) -> Float64[Tensor, " n"]:
        """Return logarithms of uniform numbers; they are the encoder's own, not its candidates."""
        row = torch.arange(first, first + n, device=path_hash.device)
        words = self.randomness.words_after_path(path_hash, row)[0]
        return ((words.double() + 0.5) / 2.0**32).log()


def _blocks(n_dims: int, settings: FaithfulSettings, randomness: SharedRandomness) -> list[Tensor]:
    """Return the dimensions of each block: a random permutation, cut into pieces."""
    if n_dims == 0:
        return []
    return list(randomness.order_keys(n_dims).argsort(stable=True).split(settings.block_size))


def _encode_block(
    posterior: WhitenedPosterior, candidates: _Candidates, settings: FaithfulSettings
) -> Int64[Tensor, " steps"]:
    n_steps = math.ceil(max(0.0, float(posterior.kl_nats().sum())) / settings.kl_per_step_nats)
    if n_steps == 0:
        return torch.zeros(0, dtype=torch.int64)
    variances = power_law_variances(n_steps)
    if settings.sampler is Sampler.BEAM:
        return _beam_search(posterior, candidates, variances, settings).cpu()
    return torch.tensor(_sample_steps(posterior, candidates, variances, settings))


def _beam_search(
    posterior: WhitenedPosterior,
    candidates: _Candidates,
    variances: list[float],
    settings: FaithfulSettings,
) -> Int64[Tensor, " steps"]:
    """Algorithm 1: keep the B partial sums of the largest density ratio, step after step."""
    hashes = candidates.first_hash().unsqueeze(0)
    sums = torch.zeros(1, candidates.n_dims, dtype=torch.float64, device=hashes.device)
    paths = torch.zeros(1, 0, dtype=torch.int64, device=hashes.device)
    reached = 0.0
    for k, variance in enumerate(variances):
        reached = reached + variance if k + 1 < len(variances) else 1.0
        drawn = math.sqrt(variance) * candidates.rows(hashes, 0, settings.n_candidates)
        extended = sums.unsqueeze(1) + drawn  # [B, M, dims]
        ratio = _partial_log_ratio(posterior, extended, reached)
        best = ratio.flatten().topk(min(settings.n_beams, ratio.numel())).indices
        parent, index = best // settings.n_candidates, best % settings.n_candidates
        sums, hashes = extended[parent, index], extend_hash(hashes[parent], index)
        paths = torch.cat([paths[parent], index.unsqueeze(1)], dim=1)
    return paths[0]


def _partial_log_ratio(posterior: WhitenedPosterior, sums: Tensor, reached: float) -> Tensor:
    """Return ln q(S)/p(S) summed over dimensions, of partial sums with prior variance c."""
    root = math.sqrt(reached)
    variance = (1.0 - reached) + reached * posterior.scale.square()
    return (
        WhitenedPosterior(root * posterior.mean, variance.sqrt())
        .log_ratio_nats(sums / root)
        .sum(-1)
    )


def _sample_steps(
    posterior: WhitenedPosterior,
    candidates: _Candidates,
    variances: list[float],
    settings: FaithfulSettings,
) -> list[int]:
    """Choose each auxiliary variable by itself, by importance or rejection sampling."""
    path_hash = candidates.first_hash()
    total = torch.zeros(candidates.n_dims, dtype=torch.float64, device=path_hash.device)
    reached, indices = 0.0, []
    for variance in variances:
        target = auxiliary_target(posterior, total, reached, variance)
        draw = partial(candidates.rows, path_hash)
        log_uniforms = partial(candidates.log_uniforms, path_hash)
        if settings.sampler is Sampler.IMPORTANCE:
            gumbel = -(-log_uniforms(0, settings.n_candidates)).log()
            index = importance_index(target, draw, settings.n_candidates, gumbel)
        else:
            index = rejection_index(target, draw, settings.max_trials, log_uniforms)
        total = total + math.sqrt(variance) * draw(index, 1)[0]
        path_hash = extend_hash(path_hash, torch.tensor(index, device=path_hash.device))
        reached += variance
        indices.append(index)
    return indices


def _decode_block(indices: Tensor, candidates: _Candidates) -> Float64[Tensor, " dims"]:
    path_hash = candidates.first_hash()
    if indices.numel() == 0:
        return candidates.rows(path_hash, 0, 1)[0]
    total = torch.zeros(candidates.n_dims, dtype=torch.float64, device=path_hash.device)
    for variance, index in zip(power_law_variances(indices.numel()), indices.tolist(), strict=True):
        total = total + math.sqrt(variance) * candidates.rows(path_hash, index, 1)[0]
        path_hash = extend_hash(path_hash, torch.tensor(index, device=path_hash.device))
    return total
