"""How a tensor's dimensions are dealt into blocks, and its blocks into streams.

A pure function of (dimensions, steps, rho index, settings, seed), so nothing of it is sent.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from irec.coding.settings import CoderSettings, Order
from irec.coding.shared_randomness import SharedRandomness


@dataclass(frozen=True)
class Layout:
    """The blocks of one tensor.

    Attributes:
        n_blocks: Blocks, at least 1.
        n_streams: Streams; block b is the next block of stream ``b % n_streams``.
        steps_of_block: Steps of each block; they differ by at most one and sum to all steps.
        dims_of_block: Flat index of the dimension in each column of each block,
            ``[n_blocks, columns]``. Only the last column may be absent from some blocks.
        is_present: Whether the column exists, ``[n_blocks, columns]``.
    """

    n_blocks: int
    n_streams: int
    steps_of_block: Int64[Tensor, " blocks"]
    dims_of_block: Int64[Tensor, " blocks columns"]
    is_present: Bool[Tensor, " blocks columns"]


def transmission(
    steps_of_block: Int64[Tensor, " blocks"], order: Order
) -> tuple[Int64[Tensor, " steps"], Int64[Tensor, " steps"]]:
    """Return the block of each index sent, and which of the block's steps it is.

    Args:
        steps_of_block: Of a tensor, or of one of its streams, whose path runs in the same order.
        order: The settings'.
    """
    steps = torch.arange(int(steps_of_block.max()), device=steps_of_block.device)
    if order == "block":
        block, step = (steps < steps_of_block.unsqueeze(1)).nonzero(as_tuple=True)
    else:
        step, block = (steps.unsqueeze(1) < steps_of_block).nonzero(as_tuple=True)
    return block, step


def make_layout(
    n_dims: int, n_steps: int, rho_index: int, coder: CoderSettings, randomness: SharedRandomness
) -> Layout:
    """Deal dimensions into blocks, evenly over the tensor's channels and positions.

    Of each run of ``n_blocks`` neighbouring dimensions (in raster order) every block gets one,
    which one is random: a stratified permutation.

    Args:
        n_dims: Dimensions, at least 1.
        n_steps: Steps of the whole tensor, at least 1.
        rho_index: Schedule of the steps.
        coder: The shared settings.
        randomness: The tensor's random numbers.
    """
    n_blocks = _n_blocks(n_dims, n_steps, rho_index, coder)
    columns = -(-n_dims // n_blocks)
    keys = torch.full((columns * n_blocks,), 1 << 32, device=randomness.device)
    if n_blocks > 1:
        keys[:n_dims] = randomness.order_keys(n_dims)
    else:
        keys.zero_()
    # The places that the last run lacks sort behind its dimensions, so the last blocks lack them.
    order = keys.view(columns, n_blocks).argsort(dim=1, stable=True)
    runs = torch.arange(columns, device=randomness.device).unsqueeze(1) * n_blocks
    dims_of_block = (runs + order).T.contiguous()
    blocks = torch.arange(n_blocks, device=randomness.device)
    return Layout(
        n_blocks=n_blocks,
        n_streams=-(-n_blocks // coder.blocks_per_stream),
        steps_of_block=n_steps // n_blocks + (blocks < n_steps % n_blocks).long(),
        dims_of_block=dims_of_block.clamp(max=n_dims - 1),
        is_present=dims_of_block < n_dims,
    )


def blocks_at_each_step(
    n_dims: int, n_steps: int, rho_index: int, coder: CoderSettings
) -> list[int]:
    """Return how many of a tensor's blocks take a first step, how many a second, and so on.

    Args:
        n_dims: Dimensions, at least 1.
        n_steps: Steps of the whole tensor, at least 1.
        rho_index: Schedule of the steps.
        coder: The shared settings.
    """
    n_blocks = _n_blocks(n_dims, n_steps, rho_index, coder)
    rest = n_steps % n_blocks
    return [n_blocks] * (n_steps // n_blocks) + ([rest] if rest else [])


def _n_blocks(n_dims: int, n_steps: int, rho_index: int, coder: CoderSettings) -> int:
    """Return how many blocks there are: of all but the last few, each is as wide as the others.

    All take as many steps, so where blocks are narrow one more dimension would be one too many.
    """
    per_block = coder.usual_steps(rho_index)
    wanted = max(1, (2 * n_steps + per_block) // (2 * per_block))
    width = min(n_dims, max(coder.min_dims_per_block, n_dims // wanted))
    return min(n_steps, -(-n_dims // width))
