"""z1 coded in groups of channels, the most telling ones first.

Channels differ a hundredfold in what they tell of an image, and the order is nearly the same for
all images and rates, so it stands in the checkpoint. Groups of like channels are coded as tensors
of their own: each gets the schedule and the blocks that suit it, and the beginning of a file holds
what matters most.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor
from torch.distributions import Normal

from irec.coding import CoderSettings, TensorCode, blocks_at_each_step
from irec.models.latent_source import LatentSource


class GroupedSource:
    """Hands the channels of the last latent tensor to another source group by group."""

    def __init__(self, inner: LatentSource, split: int, groups: Sequence[Sequence[int]]) -> None:
        """Set up the source for one generative pass.

        Args:
            inner: Sees the model's tensors but the last, and then its groups.
            split: Number of the model's last tensor.
            groups: Channels of each group; every channel is in one of them. None means that the
                last tensor is not split.
        """
        self._inner = inner
        self._split = split
        self._groups = groups

    def __call__(self, prior: Normal, posterior: Normal | None, tensor: int) -> Tensor:
        """Return a latent tensor; the groups of the last one take the numbers from its own on."""
        if tensor != self._split or not self._groups:
            return self._inner(prior, posterior, tensor)
        z = torch.empty_like(prior.loc)
        for number, group in enumerate(self._groups, start=tensor):
            channels = list(group)
            own = None if posterior is None else _channels(posterior, channels)
            z[:, channels] = self._inner(_channels(prior, channels), own, number)
        return z


def _channels(normal: Normal, channels: list[int]) -> Normal:
    return Normal(normal.loc[:, channels], normal.scale[:, channels], validate_args=False)


def in_turn(tensors: Sequence[TensorCode]) -> Int64[np.ndarray, " indices"]:
    """Which tensor each index of a file belongs to where priors need all tensors before.

    The beginning of a file then holds the first tensors, and as many steps of the next as fit;
    the others are at their prior means, given these.
    """
    n_steps = [tensor.n_steps for tensor in tensors]
    return np.repeat(np.arange(len(n_steps), dtype=np.int64), n_steps)


def progression(
    tensors: Sequence[TensorCode], n_dims: Sequence[int], coder: CoderSettings
) -> Int64[np.ndarray, " indices"]:
    """Which tensor each index of a file belongs to: whatever is coarsest is refined next.

    The first tensor comes first. Of the others that one is refined by a step of all its blocks
    whose dimensions still lack the most bits, on average: as in reverse water-filling (Cover and
    Thomas, Elements of Information Theory, section 10.3.3), errors sink to a common level.

    Args:
        tensors: Their steps and schedules.
        n_dims: Dimensions of each tensor.
        coder: Of all of them.
    """
    stages: list[tuple[float, int, int]] = []
    for tensor, (code, dims) in enumerate(zip(tensors, n_dims, strict=True)):
        steps = code.n_steps
        counts = blocks_at_each_step(dims, steps, code.rho_index, coder) if steps else []
        for step, n_blocks in enumerate(counts):
            # One division of whole numbers, which every machine rounds alike.
            lacking = steps * (len(counts) - step) / (len(counts) * dims)
            stages.append((-lacking if tensor else -float("inf"), tensor, n_blocks))
    # Stable, so that a tensor's own steps stay in their order.
    stages.sort(key=lambda stage: stage[:2])
    in_order = np.array([tensor for _, tensor, _ in stages], dtype=np.int64)
    return np.repeat(in_order, [n_blocks for _, _, n_blocks in stages])
