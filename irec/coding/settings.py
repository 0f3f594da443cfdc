"""What both sides of the coder must agree on, and what is the encoder's own business."""

import math
from dataclasses import dataclass, replace
from typing import Literal, get_args

from irec.coding.arguments import whole_number
from irec.errors import InvalidParameterError

Order = Literal["block", "step"]
"""Whether a stream's path runs block after block, or step after step through all its blocks."""

MIN_EFFORT = 1
MAX_EFFORT = 9


@dataclass(frozen=True)
class CoderSettings:
    """What encoder and decoder must share; a file made with one setting needs the same to decode.

    Attributes:
        candidates_per_step: Candidates M that a step chooses from, a power of two in [2, 2^16]; the
            choice costs log2 M bits.
        steps_per_block: Steps that a block takes at least, on average. Time grows with them, as
            wider blocks have more dimensions to weigh per step.
        steps_per_rho_index: Where the tensor's rho index times this is more, its blocks take so
            many steps instead: at a large rho, the dimensions that tell anything hold much each,
            and blocks need many of them if one is to hold about as much as another.
        min_dims_per_block: Dimensions that the widest blocks have at least; where they hold more
            than their usual nats, they take more steps. All blocks take as many, so none should
            stand or fall with one dimension.
        blocks_per_stream: Blocks searched one after the other; longer tensors are cut into streams
            that are searched side by side.
        order: In which order a stream's path runs and its indices are sent. "block": all steps of
            its first block, then of the next. "step": the first step of all blocks, then the next,
            so that the start of a code is a coarse sample of the whole tensor. That loses a little:
            of 20,000 nats in 65,536 dimensions, with 16, 64 and 256 beams, "block" 12.4, 8.8 and
            6.7 %, "step" 12.7, 9.3 and 7.2 % (benchmarks/search.py has the command).
        doubles_blocks: Whether a code may say that its blocks take twice as many steps as usual, or
            four times, and so on: for dimensions that hold more than usual blocks can send.
            Containers of images have no place for it, nor need.
    """

    candidates_per_step: int = 256
    steps_per_block: int = 4
    steps_per_rho_index: int = 1
    blocks_per_stream: int = 64
    min_dims_per_block: int = 16
    order: Order = "block"
    doubles_blocks: bool = True

    def __post_init__(self) -> None:
        """Check the values, so that no later line has to."""
        names = ("steps_per_block", "blocks_per_stream", "min_dims_per_block")
        for name in ("candidates_per_step", "steps_per_rho_index", *names):
            object.__setattr__(self, name, whole_number(getattr(self, name), name))
        m = self.candidates_per_step
        if not (2 <= m <= 1 << 16 and m & (m - 1) == 0):
            raise InvalidParameterError(
                f"candidates_per_step must be a power of two in [2, 65536], not {m}."
            )
        for name in names:
            if getattr(self, name) < 1:
                raise InvalidParameterError(f"{name} must be at least 1.")
        if self.steps_per_rho_index < 0:
            raise InvalidParameterError("steps_per_rho_index must not be negative.")
        if self.order not in get_args(Order):
            raise InvalidParameterError(f'order must be "block" or "step", not {self.order!r}.')

    def usual_steps(self, rho_index: int) -> int:
        """Return the steps that a block should take, of a tensor with this schedule."""
        return max(self.steps_per_block, self.steps_per_rho_index * rho_index)

    def doubled(self, times: int) -> "CoderSettings":
        """Return the settings with which blocks take 2^times as many steps."""
        return replace(
            self,
            steps_per_block=self.steps_per_block << times,
            steps_per_rho_index=self.steps_per_rho_index << times,
        )

    @property
    def bits_per_step(self) -> int:
        """Bits of one index, log2 M."""
        return self.candidates_per_step.bit_length() - 1

    @property
    def nats_per_step(self) -> float:
        """Nats of one index, ln M."""
        return math.log(self.candidates_per_step)


@dataclass(frozen=True)
class SearchSettings:
    """How hard the encoder looks; the decoder neither knows nor needs this.

    Attributes:
        n_beams: Hypotheses kept per stream; time grows in proportion.
        negligible_kl_fraction: Dimensions that, left out of the search, together lose less than
            this fraction of a tensor's KL are left out (the decoder still draws them).
    """

    n_beams: int = 768
    negligible_kl_fraction: float = 0.0005

    def __post_init__(self) -> None:
        """Check the values."""
        object.__setattr__(self, "n_beams", whole_number(self.n_beams, "n_beams"))
        if self.n_beams < 1:
            raise InvalidParameterError(f"n_beams must be at least 1, not {self.n_beams}.")
        if not 0.0 <= self.negligible_kl_fraction < 1.0:
            raise InvalidParameterError("negligible_kl_fraction must be in [0, 1).")

    def expected_loss(self, coder: CoderSettings) -> float:
        """Return about which share of the KL is sent in vain: (pi / ln(B M))^2, as measured."""
        leaves = self.n_beams * coder.candidates_per_step
        return min(0.5, (math.pi / math.log(leaves)) ** 2)

    @classmethod
    def from_effort(cls, effort: int) -> "SearchSettings":
        """Return the settings of an effort level.

        Args:
            effort: From 1 (48 beams) to 9 (12,288 beams); each level doubles beams and time.

        Raises:
            InvalidParameterError: If the level is outside 1 to 9.
        """
        effort = whole_number(effort, "effort")
        if not MIN_EFFORT <= effort <= MAX_EFFORT:
            raise InvalidParameterError(
                f"effort must be from {MIN_EFFORT} to {MAX_EFFORT}, not {effort}."
            )
        return cls(n_beams=48 << (effort - MIN_EFFORT))


DEFAULT_CODER = CoderSettings()
DEFAULT_SEARCH = SearchSettings()
