"""What the search knows of the blocks that its streams are in."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float32, Float64, Int64
from torch import Tensor

from irec.coding.codebook import Codebook
from irec.coding.schedule import geometric_variances
from irec.coding.shared_randomness import SIGN_POOL_SIZE


@dataclass(frozen=True)
class Stream:
    """Blocks that are searched one after the other: L blocks of up to A searched dimensions.

    Attributes:
        number: The stream's number within its tensor.
        rho_index: Schedule of its steps.
        steps_of_block: Steps of each block, at least 1.
        columns: Column of each searched dimension in its block, ``[L, A]``; None where that is
            ``0 ... A - 1`` in every block, which saves copying codebook and signs for each block.
        mean: Whitened posterior means ``[L, A]``; where a block has fewer dimensions, 0.
        scale: Whitened posterior standard deviations ``[L, A]``; where it has fewer, 1.
    """

    number: int
    rho_index: int
    steps_of_block: tuple[int, ...]
    columns: Int64[Tensor, " L A"] | None
    mean: Float64[Tensor, " L A"]
    scale: Float64[Tensor, " L A"]

    @property
    def n_steps(self) -> int:
        """Steps of all blocks together."""
        return sum(self.steps_of_block)

    @property
    def width(self) -> int:
        """Searched dimensions A of the widest block."""
        return self.mean.shape[1]


class CurrentBlocks:
    """For N streams, the coefficients and the codebook of the block that each is in.

    Attributes (float32; K steps of the longest block, A searched dimensions of the widest):
        slope: Posterior means m, ``[N, A]``.
        curvature: q = 1/c - 1/v of each step, ``[N * K, A]``.
        drift: sigma^2 m of each step, by which c m grows, ``[N * K, A]``.
        quadratic: sum_dims q (sigma E)^2 / 2 of each candidate, ``[N * K, M]``.
        candidates: sigma E, ``[N * K, M, A]``.
        signs: Sign pools, ``[N * pool, A]``, or one of ``[pool, A]`` that serves all streams.
        first_sign: Row of ``signs`` where each stream's pool begins, int64 ``[N, 1]``.
    """

    def __init__(self, streams: Sequence[Stream], codebook: Codebook) -> None:
        """Take note of the streams; nothing is loaded yet.

        Args:
            streams: All of them with columns, or none.
            codebook: Holds all their columns.
        """
        self._streams, self._codebook = streams, codebook
        self._device = streams[0].mean.device
        self._timeline = [
            [(b, k) for b, steps in enumerate(stream.steps_of_block) for k in range(steps)]
            for stream in streams
        ]
        n, n_rows = len(streams), len(streams) * codebook.n_steps
        width = max(stream.width for stream in streams)
        zero = torch.zeros((), device=self._device)
        # Zeros, as a narrow stream never writes the columns that it lacks.
        self.slope = zero.new_zeros(n, width)
        self.curvature = zero.new_zeros(n_rows, width)
        self.drift = zero.new_zeros(n_rows, width)
        self.quadratic = zero.new_zeros(n_rows, codebook.n_candidates)
        self.candidates = zero.new_zeros(n_rows, codebook.n_candidates, width)
        self._shared_candidates: Tensor | None = None
        if streams[0].columns is None:
            every = torch.arange(width, device=self._device)
            self._shared_candidates = codebook.candidates(every).view(codebook.n_steps, -1, width)
            self.signs = codebook.signs(every)
            self.first_sign = torch.zeros(n, 1, dtype=torch.int64, device=self._device)
        else:
            self.signs = zero.new_zeros(n * SIGN_POOL_SIZE, width)
            numbers = torch.arange(n, device=self._device).unsqueeze(1)
            self.first_sign = numbers * SIGN_POOL_SIZE

    def load_starting(self, iteration: int, n_live: int) -> list[int]:
        """Load the next block of those live streams that begin one; return their numbers."""
        starting = [n for n in range(n_live) if self._timeline[n][iteration][1] == 0]
        for n in starting:
            self._load(n, self._timeline[n][iteration][0])
        return starting

    def rows_at(self, iteration: int, n_live: int) -> Int64[Tensor, " n_live"]:
        """Return which row of the ``N * K`` each live stream's step is."""
        steps = [self._timeline[n][iteration][1] for n in range(n_live)]
        rows = [n * self._codebook.n_steps + k for n, k in enumerate(steps)]
        return torch.tensor(rows, device=self._device)

    def _load(self, n: int, block: int) -> None:
        stream = self._streams[n]
        n_steps, width = stream.steps_of_block[block], stream.width
        variances = torch.tensor(
            geometric_variances(n_steps, stream.rho_index), dtype=torch.float64, device=self._device
        ).unsqueeze(1)
        to_come = variances.sum() - variances.cumsum(0)
        to_come[-1] = 0.0  # no step is left; the difference may be off by a rounding
        mean, squared_scale = stream.mean[block], stream.scale[block].square()
        # 1 - c (1 - s^2), written so that nothing cancels: (1 - c) + c s^2.
        narrowing = to_come + (1.0 - to_come) * squared_scale
        first = n * self._codebook.n_steps
        rows = slice(first, first + n_steps)
        self.slope[n, :width] = mean
        self.curvature[rows, :width] = (squared_scale - 1.0) / narrowing  # [K, A]
        self.drift[rows, :width] = variances * mean

        candidates = self.candidates[rows, :, :width]  # [K, M, A]
        drawn = self._draw(n, block)
        torch.mul(drawn, variances.sqrt().float().unsqueeze(2), out=candidates)
        half_curvature = 0.5 * self.curvature[rows, :width].unsqueeze(2)
        self.quadratic[rows] = torch.bmm(candidates.square(), half_curvature).squeeze(2)

    def _draw(self, n: int, block: int) -> Float32[Tensor, "K M A"]:
        """Return a block's part of the codebook; bring its signs along where it has its own."""
        stream = self._streams[n]
        n_steps, width = stream.steps_of_block[block], stream.width
        if self._shared_candidates is not None:
            return self._shared_candidates[:n_steps, :, :width]
        assert stream.columns is not None
        columns = stream.columns[block]
        first = n * SIGN_POOL_SIZE
        self.signs[first : first + SIGN_POOL_SIZE, :width] = self._codebook.signs(columns)
        drawn = self._codebook.candidates(columns).view(self._codebook.n_steps, -1, width)
        return drawn[:n_steps]
