"""Encode samples: plan each tensor's steps, then search all of a batch together."""

from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor
from torch.distributions import Normal

from irec.coding.blocks import Stream
from irec.coding.codebook import Codebook
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
from irec.coding.tensor_code import MAX_STEPS_PER_DIMENSION, TensorCode
from irec.errors import InvalidParameterError

# Where searched posteriors are clipped, so that float32 holds every product. The sample then aims
# at a posterior a little wider, which costs less than a nat where it could matter at all.
_MIN_SCALE, _MAX_SCALE, _MAX_MEAN = 1e-7, 1e6, 1e6
# Limits of memory: beams * dimensions of one block, and columns of the codebook.
_MAX_SEARCHED, _MAX_COLUMNS = 1 << 24, 1 << 17
# Steps for a KL of one step. Measured: total excess is flat between 1.0 and 1.12, in both orders.
_STEPS_PER_KL = 1.06
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
    if posterior.loc.ndim == 0:
        raise InvalidParameterError("encode_batch needs a leading dimension; encode does not.")
    randomness = SharedRandomness(seed, tensor, posterior.loc.device)
    target = _searchable(posterior, prior)
    plans = [
        _make_plan(WhitenedPosterior(mean, scale), coder, search, randomness)
        for mean, scale in zip(target.mean, target.scale, strict=True)
    ]
    _search_plans([plan for plan in plans if plan], randomness, coder, search)
    prior_draw = TensorCode(0, 0, torch.zeros(0, dtype=torch.int64))
    return [plan.code(coder.order) if plan else prior_draw for plan in plans]


def planned_steps(
    posterior: Normal,
    prior: Normal,
    *,
    coder: CoderSettings = DEFAULT_CODER,
    search: SearchSettings = DEFAULT_SEARCH,
) -> list[tuple[int, int]]:
    """Tell what :func:`encode_batch` chooses before it searches; arguments as there.

    Returns:
        Number of steps and index of the schedule's rho of each posterior of the batch.
    """
    target = _searchable(posterior, prior)
    return [
        _steps_and_rho(WhitenedPosterior(mean, scale), coder, search)[:2]
        for mean, scale in zip(target.mean, target.scale, strict=True)
    ]


@dataclass(frozen=True)
class _Plan:
    """How a tensor is to be coded, and the paths found for its streams so far."""

    n_steps: int
    rho_index: int
    layout: Layout
    streams: list[Stream]
    path_of_stream: dict[int, Int64[Tensor, " steps"]] = field(default_factory=dict)

    def code(self, order: Order) -> TensorCode:
        """Interleave the streams' paths as they are sent."""
        block, _ = self.layout.transmission(order)
        by_stream = (block % self.layout.n_streams).argsort(stable=True)
        paths = [self.path_of_stream[number] for number in range(self.layout.n_streams)]
        indices = torch.empty_like(block)
        indices[by_stream] = torch.cat(paths)
        return TensorCode(self.n_steps, self.rho_index, indices.cpu())


def _make_plan(
    posterior: WhitenedPosterior,
    coder: CoderSettings,
    search: SearchSettings,
    randomness: SharedRandomness,
) -> _Plan | None:
    """Return the plan of one tensor, parameters ``[dims]``; None where no step is worth it."""
    n_steps, rho_index, kl, searched = _steps_and_rho(posterior, coder, search)
    if n_steps == 0:
        return None
    layout = make_layout(kl.numel(), n_steps, coder, randomness)
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
    posterior: WhitenedPosterior, coder: CoderSettings, search: SearchSettings
) -> tuple[int, int, Float64[Tensor, " dims"], Bool[Tensor, " dims"]]:
    """Return steps, rho, each dimension's KL, and whether it is worth searching."""
    kl = posterior.kl_nats().clamp(min=0.0)
    total = float(kl.sum())
    n_steps = round(_STEPS_PER_KL * total / coder.nats_per_step)
    n_steps = min(n_steps, MAX_STEPS_PER_DIMENSION * kl.numel())
    searched = _worth_searching(kl, search.negligible_kl_fraction * total)
    if n_steps == 0:
        return 0, 0, kl, searched
    rho_index = int(fit_rho_index(posterior.mean[searched], posterior.scale[searched]))
    return n_steps, rho_index, kl, searched


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
