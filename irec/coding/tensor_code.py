"""What is sent of one tensor."""

from dataclasses import dataclass, field

from jaxtyping import Int64
from torch import Tensor

from irec.coding.schedule import N_RHOS
from irec.coding.settings import CoderSettings
from irec.errors import CorruptFileError

MAX_STEPS_PER_DIMENSION = 256
"""More steps than this per dimension are no code: 1000 nats on one number tell nothing more."""

MAX_BLOCK_DOUBLINGS = 8
"""Blocks are no longer than this."""


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
        block_doublings: How many times the steps of its blocks are doubled; see
            :attr:`CoderSettings.doubles_blocks`.
        log_ratio_nats: Known to the encoder alone: ln posterior(u) - ln prior(u) of the sample, of
            all dimensions that it cared for. The nats sent less these are what the code wastes.
    """

    n_steps: int
    rho_index: int
    indices: Int64[Tensor, " steps"]
    block_doublings: int = 0
    log_ratio_nats: float | None = field(default=None, compare=False)

    def n_bits(self, coder: CoderSettings) -> int:
        """Return the bits of the indices.

        What comes on top is side information: ``n_steps``, ``rho_index`` and ``block_doublings``.
        """
        return self.indices.numel() * coder.bits_per_step


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
    most = MAX_BLOCK_DOUBLINGS if coder.doubles_blocks else 0
    if not 0 <= code.block_doublings <= most:
        raise CorruptFileError(f"Blocks cannot be doubled {code.block_doublings} times.")
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
