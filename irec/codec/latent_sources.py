"""Encoding and decoding as latent sources: the coder plugged into a model's generative pass.

Where z1 is one tensor, it is coded in groups of channels, the most telling ones first: channels
differ a hundredfold in what they tell of an image, and the order is nearly the same for all images
and qualities, so it stands in the checkpoint. Groups of like channels are coded as tensors of their
own: each gets the schedule and the blocks that suit it, and the beginning of a file holds what
matters most.
"""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor
from torch.distributions import Normal

from irec.coding import (
    CoderSettings,
    SearchSettings,
    TensorCode,
    blocks_at_each_step,
    decode_batch,
    encode_batch,
)
from irec.models.sources import LatentSource, PosteriorSampler
from irec.progress import Progress


@dataclass
class DecodingSource:
    """Decodes the latent tensors of a batch.

    Attributes:
        seed: Of the shared randomness, the encoder's.
        coder: What encoder and decoder agree on.
        codes: Of the batch for each latent tensor, in the order of the pass.
        allow_prefix: Whether codes may lack their end.
    """

    seed: int
    coder: CoderSettings
    codes: list[list[TensorCode]] = field(default_factory=list)
    allow_prefix: bool = False

    def __call__(self, prior: Normal, posterior: Normal | None, tensor: int) -> Tensor:
        """Return a latent tensor; raises CorruptFileError for an impossible code."""
        return decode_batch(
            self.codes[tensor],
            prior,
            self.seed,
            tensor=tensor,
            coder=self.coder,
            allow_prefix=self.allow_prefix,
        )


@dataclass
class EncodingSource(DecodingSource):
    """Codes a sample of each posterior, and hands on what the decoder will decode.

    Attributes:
        search: How hard to look.
        progress: Hears of each tensor.
    """

    _: KW_ONLY
    search: SearchSettings
    progress: Progress | None = None

    def __call__(self, prior: Normal, posterior: Normal | None, tensor: int) -> Tensor:
        """Encode, then decode by the decoder's own function: z is equal to the last bit."""
        if posterior is None:
            raise ValueError("EncodingSource needs a posterior: run the inference pass first")
        self.codes.append(
            encode_batch(
                posterior, prior, self.seed, tensor=tensor, coder=self.coder, search=self.search
            )
        )
        if self.progress is not None:
            self.progress.add(1)
        return super().__call__(prior, posterior, tensor)


class NotingSource(PosteriorSampler):
    """Draws from the posteriors, always the same, and notes what they and their priors are.

    Attributes:
        pairs: Posterior and prior of each call.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        """Set up the source; `device` is that of the model."""
        super().__init__(torch.Generator(device).manual_seed(0))
        self.pairs: list[tuple[Normal, Normal]] = []

    def __call__(self, prior: Normal, posterior: Normal | None, tensor: int) -> Tensor:
        """Draw a sample."""
        sample = super().__call__(prior, posterior, tensor)
        assert posterior is not None
        self.pairs.append((posterior, prior))
        return sample


@dataclass
class GroupedSource:
    """Hands the channels of the last latent tensor to another source group by group.

    Attributes:
        inner: Sees the model's tensors but the last, and then its groups.
        split: Number of the model's last tensor.
        groups: Channels of each group; every channel is in one of them. Where there are none, the
            last tensor is not split.
    """

    inner: LatentSource
    split: int
    groups: Sequence[Sequence[int]]

    def __call__(self, prior: Normal, posterior: Normal | None, tensor: int) -> Tensor:
        """Return a latent tensor; the groups of the last one take the numbers from its own on."""
        if tensor != self.split or not self.groups:
            return self.inner(prior, posterior, tensor)
        z = torch.empty_like(prior.loc)
        for number, group in enumerate(self.groups, start=tensor):
            channels = list(group)
            own = None if posterior is None else _channels(posterior, channels)
            z[:, channels] = self.inner(_channels(prior, channels), own, number)
        return z


def _channels(normal: Normal, channels: list[int]) -> Normal:
    return Normal(normal.loc[:, channels], normal.scale[:, channels], validate_args=False)


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
