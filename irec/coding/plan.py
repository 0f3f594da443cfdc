"""How a tensor is coded with a given number of steps, and the search for all tensors of a batch."""

from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from irec.coding.blocks import FoundPath, Stream
from irec.coding.codebook import Codebook
from irec.coding.find_paths import MAX_KEPT, SIGNS_TAKE, find_paths
from irec.coding.gaussians import WhitenedPosterior
from irec.coding.layout import Layout, make_layout
from irec.coding.schedule import fit_rho_index
from irec.coding.settings import CoderSettings, Order, SearchSettings
from irec.coding.shared_randomness import SharedRandomness
from irec.coding.tensor_code import MAX_STEPS_PER_DIMENSION, TensorCode

# Limits of memory: beams * dimensions of one block, and columns of the codebook.
_MAX_SEARCHED, _MAX_COLUMNS = 1 << 24, 1 << 17
# Blocks of which more than this is searched are searched as they are: choosing columns costs more.
_DENSE_FRACTION = 0.6


@dataclass(frozen=True)
class Plan:
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


def make_plan(
    posterior: WhitenedPosterior,
    coder: CoderSettings,
    search: SearchSettings,
    randomness: SharedRandomness,
    steps_per_kl: float,
) -> Plan | None:
    """Return the plan of one tensor, parameters ``[dims]``; None where no step is worth it."""
    n_steps, rho_index, kl, searched = steps_and_rho(posterior, coder, search, steps_per_kl)
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
    return Plan(n_steps, rho_index, layout, streams)


def steps_and_rho(
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
    width = min(
        _MAX_SEARCHED // search.n_beams, MAX_KEPT // n_kept // (search.n_beams + SIGNS_TAKE)
    )
    if layout.dims_of_block.shape[1] > _MAX_COLUMNS:
        width = min(width, _MAX_COLUMNS // layout.n_blocks)
    return max(1, width)


def _worth_searching(kl: Float64[Tensor, " dims"], negligible_nats: float) -> Bool[Tensor, " dims"]:
    """Return all dimensions but the least, which together hold at most ``negligible_nats``."""
    ascending, order = kl.sort()
    searched = torch.zeros(kl.shape, dtype=torch.bool, device=kl.device)
    searched[order] = ascending.cumsum(0) > negligible_nats
    return searched


def search_plans(
    plans: list[Plan], randomness: SharedRandomness, coder: CoderSettings, search: SearchSettings
) -> None:
    """Search all streams of all tensors, and put the paths found into their plans."""
    jobs = [(plan, stream) for plan in plans for stream in plan.streams]
    if not jobs:
        return
    columns = torch.cat([stream.own_columns.flatten() for _, stream in jobs]).unique()
    n_steps = max(max(stream.steps_of_block) for _, stream in jobs)
    codebook = Codebook(randomness, columns, n_steps, coder.candidates_per_step)
    streams = [stream for _, stream in jobs]
    paths = find_paths(streams, codebook, randomness, search.n_beams, coder.order)
    for (plan, stream), path in zip(jobs, paths, strict=True):
        plan.path_of_stream[stream.number] = path
