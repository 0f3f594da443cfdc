"""What is sent of one tensor."""

import math
from dataclasses import dataclass, field

from jaxtyping import Int64
from torch import Tensor

from irec.coding.schedule import N_RHOS
from irec.coding.settings import CoderSettings
from irec.errors import CorruptFileError

MAX_STEPS_PER_DIMENSION = 256
"""More steps than this per dimension are no code: 1000 nats on one number tell nothing more."""


@dataclass(frozen=True)
class TensorCode:
    """What is sent of one tensor.

    Attributes:
        n_steps: Steps T of all blocks together; 0 stands for the seeded draw from the prior.
        rho_index: Schedule of the steps, in [0, 80).
        indices: The chosen candidates in [0, M), int64 on the CPU, in the order of
            :attr:`CoderSettings.order`: blocks ascending and all steps of each, or steps ascending
            and each of all blocks that have it. There are ``n_steps``, or of the start of a code
            fewer.
        hot: Dimensions that are sent by themselves, or None.
        log_ratio_nats: Known to the encoder alone: ln posterior(u) - ln prior(u) of the sample, of
            all dimensions that it cared for. The nats sent less these are what the code wastes.
    """

    n_steps: int
    rho_index: int
    indices: Int64[Tensor, " steps"]
    hot: "HotDims | None" = None
    log_ratio_nats: float | None = field(default=None, compare=False)

    def n_bits(self, coder: CoderSettings) -> int:
        """Return the bits of indices and of hot dimensions' numbers, without the side information.

        Side information are ``n_steps`` and ``rho_index``, and how many hot dimensions there are.
        """
        n_bits = self.indices.numel() * coder.bits_per_step
        return n_bits if self.hot is None else n_bits + self.hot.n_bits(coder)


@dataclass(frozen=True)
class HotDims:
    """Dimensions that hold more than a block of their tensor can send, coded as one of their own.

    Attributes:
        dims: Their flat indices in the tensor, ascending.
        n_dims: Dimensions of the tensor.
        code: Code of these dimensions alone.
    """

    dims: Int64[Tensor, " hot"]
    n_dims: int
    code: TensorCode

    def n_bits(self, coder: CoderSettings) -> int:
        """Return the bits of the code and of which dimensions it is about: one of all choices."""
        choices = math.comb(self.n_dims, self.dims.numel())
        return self.code.n_bits(coder) + (choices - 1).bit_length()


def check_code(
    code: TensorCode, n_dims: int, coder: CoderSettings, allow_prefix: bool = False
) -> None:
    """Raise CorruptFileError if no encoder with these settings can have made the code.

    Args:
        code: The code.
        n_dims: Dimensions of its tensor.
        coder: The shared settings.
        allow_prefix: Whether the start of such a code will do.
    """
    if code.hot is not None:
        dims, n_hot = code.hot.dims, code.hot.dims.numel()
        ascending = bool((dims.diff() > 0).all()) and n_hot > 0 and int(dims[0]) >= 0
        if not (ascending and int(dims[-1]) < n_dims == code.hot.n_dims and coder.lists_hot_dims):
            raise CorruptFileError(f"Hot dimensions {dims.tolist()} of a tensor of {n_dims}.")
        if code.hot.code.hot is not None:
            raise CorruptFileError("Hot dimensions have no hot dimensions of their own.")
        check_code(code.hot.code, n_hot, coder, allow_prefix)
        n_dims -= n_hot
    if not 0 <= code.n_steps <= MAX_STEPS_PER_DIMENSION * n_dims:
        raise CorruptFileError(f"{code.n_steps} steps cannot code {n_dims} dimensions.")
    n_indices = code.indices.numel()
    is_whole = n_indices == code.n_steps or (allow_prefix and n_indices < code.n_steps)
    if code.indices.ndim != 1 or not is_whole:
        raise CorruptFileError(
            f"A code of {code.n_steps} steps cannot have indices {tuple(code.indices.shape)}."
        )
    if not 0 <= code.rho_index < N_RHOS:
        raise CorruptFileError(f"There is no schedule number {code.rho_index}.")
    if n_indices and not (
        int(code.indices.min()) >= 0 and int(code.indices.max()) < coder.candidates_per_step
    ):
        raise CorruptFileError(f"An index is outside [0, {coder.candidates_per_step}).")
