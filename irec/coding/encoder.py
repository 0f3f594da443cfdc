"""Encode samples: plan each tensor's steps, then search all of a batch together."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor
from torch.distributions import Normal

from irec.coding.arguments import as_normal
from irec.coding.blocks import FoundPath, Stream
from irec.coding.codebook import Codebook
from irec.coding.decoder import decode_part
from irec.coding.find_paths import MAX_KEPT, find_paths
from irec.coding.gaussians import WhitenedPosterior, add_batch, whiten
from irec.coding.layout import Layout, make_layout
from irec.coding.schedule import fit_rho_index
from irec.coding.settings import (
    DEFAULT_CODER,
    DEFAULT_SEARCH,
    CoderSettings,
    Order,
    SearchSettings,
)
from irec.coding.shared_randomness import SharedRandomness
from irec.coding.tensor_code import MAX_STEPS_PER_DIMENSION, HotDims, TensorCode
from irec.errors import InvalidParameterError

# Where searched posteriors are clipped, so that float32 holds every product. The sample then aims
# at a posterior a little wider, which costs less than a nat where it could matter at all.
_MIN_SCALE, _MAX_SCALE, _MAX_MEAN = 1e-7, 1e6, 1e6
# Limits of memory: beams * dimensions of one block, and columns of the codebook.
_MAX_SEARCHED, _MAX_COLUMNS = 1 << 24, 1 << 17
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
# Dimensions that hold more than this share of what a block can send are sent apart, if that pays.
_HOT_SHARE = 0.5
# Blocks of which more than this is searched are searched as they are: choosing columns costs more.
_DENSE_FRACTION = 0.6


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
    if coder.lists_hot_dims:
        for n in missing.nonzero().flatten().tolist():
            one = WhitenedPosterior(target.mean[n], target.scale[n])
            codes[n] = _cheapest(codes[n], _encode_hot_apart(one, coder, search, randomness), coder)
    for steps_per_kl in _STEPS_PER_KL[1:]:
        missing = _misses(target, codes, coder, search)
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
        _make_plan(WhitenedPosterior(mean, scale), coder, search, randomness, steps_per_kl)
        for mean, scale in zip(target.mean, target.scale, strict=True)
    ]
    _search_plans([plan for plan in plans if plan], randomness, coder, search)
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
    u = decode_part(code, mean.numel(), coder, randomness)
    log_ratio = float(WhitenedPosterior(mean, scale).log_ratio_nats(u[None]).sum())
    return replace(code, log_ratio_nats=log_ratio)


def _encode_hot_apart(
    posterior: WhitenedPosterior,
    coder: CoderSettings,
    search: SearchSettings,
    randomness: SharedRandomness,
) -> TensorCode | None:
    """Encode one tensor, ``[dims]``, and by themselves the dimensions that its blocks cannot hold.

    Returns:
        The code, or None where all dimensions are hot, or none.
    """
    kl = posterior.kl_nats()
    n_steps, rho_index, *_ = _steps_and_rho(posterior, coder, search, _STEPS_PER_KL[0])
    n_blocks = make_layout(kl.numel(), max(1, n_steps), rho_index, coder, randomness).n_blocks
    block_nats = n_steps * coder.nats_per_step / n_blocks
    hot = kl > _HOT_SHARE * block_nats
    if bool(hot.all()) or not bool(hot.any()):
        return None
    plain = replace(coder, lists_hot_dims=False)
    of_hot, of_rest = (
        WhitenedPosterior(posterior.mean[None, chosen], posterior.scale[None, chosen])
        for chosen in (hot, ~hot)
    )
    own = replace(randomness, part=1)
    # Few dimensions are searched in no time, and how well that goes is a matter of chance.
    code_of_hot = min(
        (
            _encode_once(of_hot, plain, search, own, steps)[0]
            for steps in (*_OTHER_STEPS_PER_KL, *_STEPS_PER_KL)
        ),
        key=lambda code: _waste(code, coder),
    )
    (code,) = _encode_until_they_hit(of_rest, plain, search, randomness)
    assert code.log_ratio_nats is not None
    assert code_of_hot.log_ratio_nats is not None
    together = code.log_ratio_nats + code_of_hot.log_ratio_nats
    dims = hot.nonzero().flatten().cpu()
    return replace(code, hot=HotDims(dims, kl.numel(), code_of_hot), log_ratio_nats=together)


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
        _steps_and_rho(WhitenedPosterior(mean, scale), coder, search, _STEPS_PER_KL[0])[:2]
        for mean, scale in zip(target.mean, target.scale, strict=True)
    ]


@dataclass(frozen=True)
class _Plan:
    """How a tensor is to be coded, and the paths found for its streams so far."""

    n_steps: int
    rho_index: int
    layout: Layout
    streams: list[Stream]
    path_of_stream: dict[int, FoundPath] = field(default_factory=dict)

    def code(self, order: Order) -> TensorCode:
        """Interleave the streams' paths as they are sent."""
        block, _ = self.layout.transmission(order)
        by_stream = (block % self.layout.n_streams).argsort(stable=True)
        paths = [self.path_of_stream[number] for number in range(self.layout.n_streams)]
        indices = torch.empty_like(block)
        indices[by_stream] = torch.cat([path.indices for path in paths])
        log_ratio = sum(stream.constant_nats() for stream in self.streams)
        log_ratio += sum(path.log_ratio_nats for path in paths)
        return TensorCode(self.n_steps, self.rho_index, indices.cpu(), log_ratio_nats=log_ratio)


def _make_plan(
    posterior: WhitenedPosterior,
    coder: CoderSettings,
    search: SearchSettings,
    randomness: SharedRandomness,
    steps_per_kl: float,
) -> _Plan | None:
    """Return the plan of one tensor, parameters ``[dims]``; None where no step is worth it."""
    n_steps, rho_index, kl, searched = _steps_and_rho(posterior, coder, search, steps_per_kl)
    if n_steps == 0:
        return None
    layout = make_layout(kl.numel(), n_steps, rho_index, coder, randomness)
    weight = (kl * searched)[layout.dims_of_block] * layout.is_present
    widest = int((weight > 0).sum(1).max())
    max_width = _max_width(layout, coder, search)
    dims, searched, columns = layout.dims_of_block, layout.is_present, None
    if widest < _DENSE_FRACTION * dims.shape[1] or dims.shape[1] > max_width:
        weight, columns = weight.topk(min(widest, max_width), dim=1)
        dims, searched = dims.gather(1, columns), weight > 0
    mean = torch.where(searched, posterior.mean[dims], 0.0)
    scale = torch.where(searched, posterior.scale[dims], 1.0)
    streams = []
    for number in range(layout.n_streams):
        own = slice(number, None, layout.n_streams)
        steps = tuple(layout.steps_of_block[own].tolist())
        own_columns = None if columns is None else columns[own]
        streams.append(Stream(number, rho_index, steps, own_columns, mean[own], scale[own]))
    return _Plan(n_steps, rho_index, layout, streams)


def _searchable(posterior: Normal, prior: Normal) -> WhitenedPosterior:
    """Whiten posteriors, and clip them to what the search can hold."""
    whitened = whiten(posterior, prior)
    return WhitenedPosterior(
        whitened.mean.clamp(-_MAX_MEAN, _MAX_MEAN), whitened.scale.clamp(_MIN_SCALE, _MAX_SCALE)
    )


def _steps_and_rho(
    posterior: WhitenedPosterior,
    coder: CoderSettings,
    search: SearchSettings,
    steps_per_kl: float,
) -> tuple[int, int, Float64[Tensor, " dims"], Bool[Tensor, " dims"]]:
    """Return steps, rho, each dimension's KL, and whether it is worth searching."""
    kl = posterior.kl_nats().clamp(min=0.0)
    total = float(kl.sum())
    n_steps = _n_steps(kl, coder, steps_per_kl)
    searched = _worth_searching(kl, search.negligible_kl_fraction * total)
    if n_steps == 0:
        return 0, 0, kl, searched
    rho_index = int(fit_rho_index(posterior.mean[searched], posterior.scale[searched]))
    return n_steps, rho_index, kl, searched


def _n_steps(kl: Float64[Tensor, " dims"], coder: CoderSettings, steps_per_kl: float) -> int:
    """Return the steps that a tensor takes."""
    n_steps = round(steps_per_kl * float(kl.sum()) / coder.nats_per_step)
    return min(n_steps, MAX_STEPS_PER_DIMENSION * kl.numel())


def _max_width(layout: Layout, coder: CoderSettings, search: SearchSettings) -> int:
    """Return how many dimensions of a block memory allows to search; the rest stay random."""
    n_kept = 1 if coder.order == "block" else -(-layout.n_blocks // layout.n_streams)
    width = min(_MAX_SEARCHED, MAX_KEPT // n_kept) // search.n_beams
    if layout.dims_of_block.shape[1] > _MAX_COLUMNS:
        width = min(width, _MAX_COLUMNS // layout.n_blocks)
    return max(1, width)


def _worth_searching(kl: Float64[Tensor, " dims"], negligible_nats: float) -> Bool[Tensor, " dims"]:
    """Return all dimensions but the least, which together hold at most ``negligible_nats``."""
    ascending, order = kl.sort()
    searched = torch.zeros(kl.shape, dtype=torch.bool, device=kl.device)
    searched[order] = ascending.cumsum(0) > negligible_nats
    return searched


def _search_plans(
    plans: list[_Plan], randomness: SharedRandomness, coder: CoderSettings, search: SearchSettings
) -> None:
    """Search all streams of all tensors, and put the paths found into their plans."""
    jobs = [(plan, stream) for plan in plans for stream in plan.streams]
    if not jobs:
        return
    columns = torch.cat([_columns(stream).flatten() for _, stream in jobs]).unique()
    n_steps = max(max(stream.steps_of_block) for _, stream in jobs)
    codebook = Codebook(randomness, columns, n_steps, coder.candidates_per_step)
    streams = [stream for _, stream in jobs]
    paths = find_paths(streams, codebook, randomness, search.n_beams, coder.order)
    for (plan, stream), path in zip(jobs, paths, strict=True):
        plan.path_of_stream[stream.number] = path


def _columns(stream: Stream) -> Int64[Tensor, "..."]:
    """Return the columns of the codebook that a stream's search needs."""
    if stream.columns is None:
        return torch.arange(stream.width, device=stream.mean.device)
    return stream.columns
