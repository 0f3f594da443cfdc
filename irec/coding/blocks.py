"""The blocks that the search goes through, and what it needs to know at each of their steps."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Bool, Float32, Float64, Int64
from torch import Tensor

from irec.coding.codebook import Codebook
from irec.coding.layout import transmission
from irec.coding.schedule import geometric_variances
from irec.coding.settings import Order


@dataclass(frozen=True)
class Stream:
    """Blocks that are searched together: L blocks of up to A searched dimensions.

    Attributes:
        number: The stream's number within its tensor.
        rho_index: Schedule of its steps.
        steps_of_block: Steps of each block, at least 1; on the CPU.
        columns: Column of each searched dimension in its block, ``[L, A]``.
        mean: Whitened posterior means ``[L, A]``; where a block has fewer dimensions, 0.
        scale: Whitened posterior standard deviations ``[L, A]``; where it has fewer, 1.
    """

    number: int
    rho_index: int
    steps_of_block: Int64[Tensor, " L"]
    columns: Int64[Tensor, " L A"]
    mean: Float64[Tensor, " L A"]
    scale: Float64[Tensor, " L A"]

    @property
    def n_steps(self) -> int:
        """Steps of all blocks together."""
        return int(self.steps_of_block.sum())

    @property
    def n_blocks(self) -> int:
        """Blocks L."""
        return len(self.steps_of_block)

    @property
    def width(self) -> int:
        """Searched dimensions A of the widest block."""
        return self.mean.shape[1]

    def tabulate(self, order: Order) -> Float64[Tensor, "steps 5"]:
        """Return, step by step of the path, what distinguishes the steps.

        Returns:
            Block, step, its variance, what is to come, and the variance of the block's last step.
        """
        rows = []
        n_steps = self.steps_of_block.tolist()
        path = torch.stack(transmission(self.steps_of_block, order), 1)
        for block, step in path.tolist():
            variances, to_come = _schedule(n_steps[block], self.rho_index)
            last_variance = variances[step - 1] if step else 0.0
            rows.append((block, step, variances[step], to_come[step], last_variance))
        return torch.tensor(rows, dtype=torch.float64)

    def constant_nats(self) -> float:
        """Return the part of the log-ratio that all samples share."""
        return float((0.5 * self.mean.square() - self.scale.log()).sum())


@dataclass(frozen=True)
class FoundPath:
    """What a search finds for a stream.

    Attributes:
        indices: The chosen candidates.
        log_ratio_nats: Of the stream's sample, less :meth:`Stream.constant_nats`.
    """

    indices: Int64[Tensor, " steps"]
    log_ratio_nats: float


@dataclass(frozen=True)
class Step:
    """For n streams, the step that each takes at one iteration of the search.

    Attributes (A searched dimensions of the widest block):
        slot: Where the search keeps what it knows of the stream's block.
        slot_of_all: The same, counted through the slots of all streams.
        is_first: Whether it is the block's first step.
        places: Columns in the codebook, ``[n, A]``.
        slope: Posterior means m, ``[n, A]``.
        curvature: q = 1/c - 1/v, ``[n, A]``.
        drift: Sigma^2 m, by which c m grows, ``[n, A]``.
        rows: Sigma E, ``[n, R, A]``: a row is one candidate, and less the row the next.
        quadratic: sum_dims q (sigma E)^2 / 2 of each row, ``[n, R]``.
        last_row: Row of the codebook where the block's last step, if there was one, begins.
        last_deviation: Sigma of the block's last step.
    """

    slot: Int64[Tensor, "n 1"]
    slot_of_all: Int64[Tensor, " n"]
    is_first: Bool[Tensor, "n 1"]
    places: Int64[Tensor, "n A"]
    slope: Float32[Tensor, "n A"]
    curvature: Float32[Tensor, "n A"]
    drift: Float32[Tensor, "n A"]
    rows: Float32[Tensor, "n R A"]
    quadratic: Float32[Tensor, "n R"]
    last_row: Int64[Tensor, "n 1"]
    last_deviation: Float32[Tensor, "n 1"]


class StepSequence:
    """The steps of N streams, iteration by iteration.

    Attributes:
        codebook: Holds the streams' columns.
        n_slots: Blocks of one stream of which the search must know something at the same time.
        width: Searched dimensions A of the widest block.
        device: Where the streams are.
    """

    def __init__(self, streams: Sequence[Stream], codebook: Codebook, order: Order) -> None:
        """Lay out the streams' paths.

        Args:
            streams: Longest first.
            codebook: Holds all their columns.
            order: Of the paths.
        """
        self.device = streams[0].mean.device
        self.width = max(stream.width for stream in streams)
        n_blocks = max(stream.n_blocks for stream in streams)
        self.n_slots = n_blocks if order == "step" else 1
        self.codebook = codebook
        zero = streams[0].mean.new_zeros(())
        # The values of absent dimensions: of them, nothing is known and nothing can be.
        self._mean = zero.new_zeros(len(streams), n_blocks, self.width)
        self._squared_scale = zero.new_ones(self._mean.shape)
        self._places = zero.new_zeros(self._mean.shape, dtype=torch.int64)
        for n, stream in enumerate(streams):
            own = (n, slice(stream.n_blocks), slice(stream.width))
            self._mean[own], self._squared_scale[own] = stream.mean, stream.scale.square()
            self._places[own] = codebook.places(stream.columns)
        self._lay_out([stream.tabulate(order) for stream in streams])

    def _lay_out(self, tables: list[Float64[Tensor, "_ 5"]]) -> None:
        """Tabulate ``[T, N, 1]`` what differs between iterations, so that each only looks it up."""
        n, n_iterations = len(tables), len(tables[0])
        table = torch.zeros(n_iterations, n, 5, dtype=torch.float64)
        for stream, of_stream in enumerate(tables):
            table[: len(of_stream), stream] = of_stream
        table = table.to(self.device)
        block, step = table[..., :1].long(), table[..., 1:2].long()
        self._variance, self._to_come, last_variance = table[..., 2:].split(1, dim=2)
        self._deviation, self._last_deviation = (
            variance.sqrt().float() for variance in (self._variance, last_variance)
        )
        numbers = torch.arange(n, device=self.device).unsqueeze(1)
        self._block = (block + numbers * self._mean.shape[1]).squeeze(2)
        self._slot = block if self.n_slots > 1 else torch.zeros_like(block)
        self._slot_of_all = (self._slot + numbers * self.n_slots).squeeze(2)
        self._is_first = step == 0
        self._row = step * self.codebook.n_rows
        self._last_row = (step - 1).clamp(min=0) * self.codebook.n_rows
        self._every_row = torch.arange(self.codebook.n_rows, device=self.device)

    def at(self, iteration: int, n_live: int) -> Step:
        """Return the step of each of the first ``n_live`` streams."""
        now = (iteration, slice(n_live))
        mean, squared_scale, places = (
            of_all.flatten(0, 1).index_select(0, self._block[now])
            for of_all in (self._mean, self._squared_scale, self._places)
        )
        to_come = self._to_come[now]
        # 1 - c (1 - s^2), written so that nothing cancels: (1 - c) + c s^2.
        narrowing = to_come + (1.0 - to_come) * squared_scale
        curvature = ((squared_scale - 1.0) / narrowing).float()
        rows = self.codebook.rows(self._row[now] + self._every_row, places)
        rows *= self._deviation[now].unsqueeze(2)
        half_curvature = 0.5 * curvature.unsqueeze(2)
        return Step(
            slot=self._slot[now],
            slot_of_all=self._slot_of_all[now],
            is_first=self._is_first[now],
            places=places,
            slope=mean.float(),
            curvature=curvature,
            drift=(self._variance[now] * mean).float(),
            rows=rows,
            quadratic=torch.bmm(rows.square(), half_curvature).squeeze(2),
            last_row=self._last_row[now],
            last_deviation=self._last_deviation[now],
        )


@lru_cache(maxsize=64)
def _schedule(n_steps: int, rho_index: int) -> tuple[list[float], list[float]]:
    """Return each step's variance, and what is left for the steps that follow it."""
    variances = torch.tensor(geometric_variances(n_steps, rho_index), dtype=torch.float64)
    to_come = variances.sum() - variances.cumsum(0)
    to_come[-1] = 0.0  # no step is left; the difference may be off by a rounding
    return variances.tolist(), to_come.tolist()
