"""How a tensor is coded with a given number of steps, and the search for all tensors of a batch."""

import math
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from irec.coding.blocks import FoundPath, Stream
from irec.coding.codebook import Codebook
from irec.coding.find_paths import MAX_KEPT, SIGNS_TAKE, find_paths
from irec.coding.gaussians import WhitenedPosterior
from irec.coding.layout import Layout, make_layout, transmission
from irec.coding.schedule import fit_rho_index
from irec.coding.settings import CoderSettings, Order, SearchSettings
from irec.coding.shared_randomness import SharedRandomness
from irec.coding.tensor_code import TensorCode

# Limits of memory: beams * dimensions of one block, and columns of the codebook.
_MAX_SEARCHED, _MAX_COLUMNS = 1 << 24, 1 << 17


@dataclass(frozen=True)
class Target:
    """The posterior of one tensor, and what matters of it for coding.

    Attributes:
        posterior: Parameters ``[dims]``.
        kl_nats: Of each dimension.
        total_kl_nats: Of all.
        searched: Whether a dimension is worth searching.
        rho_index: The schedule that suits these.
        log_ratio_deviation_nats: Of the log-ratios of the posterior's own samples, the standard
            deviation; their mean is the KL.
    """

    posterior: WhitenedPosterior
    kl_nats: Float64[Tensor, " dims"]
    total_kl_nats: float
    searched: Bool[Tensor, " dims"]
    rho_index: int
    log_ratio_deviation_nats: float

    def is_narrow(self, scale: float) -> bool:
        """Return whether a posterior's scale is below this one."""
        return bool((self.posterior.scale < scale).any())


def aim_at(posterior: WhitenedPosterior, negligible_kl_fraction: float) -> Target:
    """Return what matters of the posterior of one tensor, parameters ``[dims]``.

    Args:
        posterior: The posterior.
        negligible_kl_fraction: See :class:`SearchSettings`.
    """
    kl = posterior.kl_nats().clamp(min=0.0)
    total = float(kl.sum())
    searched = _worth_searching(posterior.reverse_kl_nats(), negligible_kl_fraction * total)
    variance = posterior.scale.square()
    spread = variance * posterior.mean.square() + 0.5 * (1.0 - variance).square()
    rho_index = int(fit_rho_index(posterior.mean[searched], posterior.scale[searched]))
    return Target(posterior, kl, total, searched, rho_index, math.sqrt(float(spread.sum())))


def _worth_searching(
    loss: Float64[Tensor, " dims"], negligible_nats: float
) -> Bool[Tensor, " dims"]:
    """Return all dimensions but the least, which together lose at most ``negligible_nats``.

    Args:
        loss: Nats that each is expected to lose if it stays a draw from the prior.
        negligible_nats: Nats that do not matter.
    """
    ascending, order = loss.sort()
    searched = torch.zeros(loss.shape, dtype=torch.bool, device=loss.device)
    searched[order] = ascending.cumsum(0) > negligible_nats
    return searched


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
        block, _ = transmission(self.layout.steps_of_block, order)
        by_stream = (block % self.layout.n_streams).argsort(stable=True)
        paths = [self.path_of_stream[number] for number in range(self.layout.n_streams)]
        indices = torch.empty_like(block)
        indices[by_stream] = torch.cat([path.indices for path in paths])
        log_ratio = sum(stream.constant_nats() for stream in self.streams)
        log_ratio += sum(path.log_ratio_nats for path in paths)
        return TensorCode(self.n_steps, self.rho_index, indices.cpu(), log_ratio_nats=log_ratio)


def make_plan(
    target: Target,
    n_steps: int,
    coder: CoderSettings,
    search: SearchSettings,
    randomness: SharedRandomness,
) -> Plan | None:
    """Return the plan of one tensor with so many steps; None where there is no step."""
    if n_steps == 0:
        return None
    posterior, kl, rho_index = target.posterior, target.kl_nats, target.rho_index
    layout = make_layout(kl.numel(), n_steps, rho_index, coder, randomness)
    weight = (kl * target.searched)[layout.dims_of_block] * layout.is_present
    widest = int((weight > 0).sum(1).max())
    width = min(widest, _max_width(layout, coder, search))
    weight, columns = weight.topk(width, dim=1)
    dims, searched = layout.dims_of_block.gather(1, columns), weight > 0
    mean = torch.where(searched, posterior.mean[dims], 0.0)
    scale = torch.where(searched, posterior.scale[dims], 1.0)
    streams = []
    for number in range(layout.n_streams):
        own = slice(number, None, layout.n_streams)
        steps = layout.steps_of_block[own].cpu()
        streams.append(Stream(number, rho_index, steps, columns[own], mean[own], scale[own]))
    return Plan(n_steps, rho_index, layout, streams)


def _max_width(layout: Layout, coder: CoderSettings, search: SearchSettings) -> int:
    """Return how many dimensions of a block memory allows to search; the rest stay random."""
    n_kept = 1 if coder.order == "block" else -(-layout.n_blocks // layout.n_streams)
    width = min(
        _MAX_SEARCHED // search.n_beams, MAX_KEPT // n_kept // (search.n_beams + SIGNS_TAKE)
    )
    if layout.dims_of_block.shape[1] > _MAX_COLUMNS:
        width = min(width, _MAX_COLUMNS // layout.n_blocks)
    return max(1, width)


def search_plans(
    plans: list[Plan], randomness: SharedRandomness, coder: CoderSettings, search: SearchSettings
) -> None:
    """Search all streams of all tensors, and put the paths found into their plans."""
    jobs = [(plan, stream) for plan in plans for stream in plan.streams]
    if not jobs:
        return
    columns = torch.cat([stream.columns.flatten() for _, stream in jobs]).unique()
    n_steps = max(int(stream.steps_of_block.max()) for _, stream in jobs)
    codebook = Codebook(randomness, columns, n_steps, coder.candidates_per_step)
    streams = [stream for _, stream in jobs]
    paths = find_paths(streams, codebook, randomness, search.n_beams, coder.order)
    for (plan, stream), path in zip(jobs, paths, strict=True):
        plan.path_of_stream[stream.number] = path
