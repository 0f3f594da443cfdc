"""The part of the shared codebook and sign pool that a search needs, drawn once.

A step's M candidates are M / 2 rows of the codebook and what they are with their signs flipped, in
turn: candidate i is row i // 2, flipped where i is odd. So half the products score all of them.
"""

import torch
from jaxtyping import Float32, Int8, Int64
from torch import Tensor

from irec.coding.shared_randomness import (
    NORMALS_PER_CALL,
    SIGN_POOL_SIZE,
    SIGNS_PER_CALL,
    SharedRandomness,
)


class Codebook:
    """Candidates and signs of chosen columns; one codebook serves all blocks of all images."""

    def __init__(
        self,
        randomness: SharedRandomness,
        columns: Int64[Tensor, " columns"],
        n_steps: int,
        n_candidates: int,
    ) -> None:
        """Draw the columns.

        Args:
            randomness: The tensor's random numbers.
            columns: Columns of blocks, distinct and ascending, at least one.
            n_steps: Steps of the longest block.
            n_candidates: Candidates per step M.
        """
        self.n_rows = n_candidates // 2
        self._place = torch.zeros(int(columns[-1]) + 1, dtype=torch.int64, device=columns.device)
        self._place[columns] = torch.arange(columns.numel(), device=columns.device)
        self._rows = _draw_rows(randomness, columns, n_steps, self.n_rows)
        self._signs = _draw_signs(randomness, columns)

    @property
    def drawn(self) -> tuple[Float32[Tensor, "KR columns"], Int8[Tensor, "pool columns"]]:
        """Rows of all steps, ``step * M / 2 + row``, and the sign pool."""
        return self._rows, self._signs

    def places(self, columns: Int64[Tensor, "*shape"]) -> Int64[Tensor, "*shape"]:
        """Return where columns of blocks are in this codebook."""
        return self._place[columns]

    def rows(
        self, rows: Int64[Tensor, "n r"], places: Int64[Tensor, "n a"]
    ) -> Float32[Tensor, "n r a"]:
        """Return rows, of unit variance.

        Args:
            rows: ``step * M / 2 + row``, for each of n streams.
            places: The columns that each stream wants.
        """
        return _take(self._rows, rows, places)

    def signs(
        self, rows: Int64[Tensor, "n r"], places: Int64[Tensor, "n a"]
    ) -> Float32[Tensor, "n r a"]:
        """Return sign vectors of -1 and 1; arguments as for :meth:`rows`."""
        return _take(self._signs, rows, places).float()


def _take(table: Tensor, rows: Tensor, places: Tensor) -> Tensor:
    # One index into the flat table: several times as fast as indexing with two tensors.
    small = table.numel() < 1 << 31
    kind = torch.int32 if small else torch.int64
    at = (rows * table.shape[1]).to(kind).unsqueeze(2) + places.to(kind).unsqueeze(1)
    return table.view(-1).index_select(0, at.view(-1)).view(at.shape)


def _draw_rows(
    randomness: SharedRandomness, columns: Tensor, n_steps: int, n_rows: int
) -> Float32[Tensor, "KR columns"]:
    groups, group_of_column = (columns // NORMALS_PER_CALL).unique_consecutive(return_inverse=True)
    row = torch.arange(n_rows, device=columns.device)
    step = torch.arange(n_steps, device=columns.device).unsqueeze(1)
    normals = randomness.codebook(step, row, groups.view(-1, 1, 1))  # [G, K, R, 8]
    by_row = normals.flatten(1, 2).transpose(0, 1).flatten(1)  # [K * R, G * 8]
    wanted = group_of_column * NORMALS_PER_CALL + columns % NORMALS_PER_CALL
    return by_row.index_select(1, wanted)


def _draw_signs(randomness: SharedRandomness, columns: Tensor) -> Int8[Tensor, "pool columns"]:
    groups, group_of_column = (columns // SIGNS_PER_CALL).unique_consecutive(return_inverse=True)
    pool = torch.arange(SIGN_POOL_SIZE, device=columns.device).unsqueeze(1)
    signs = randomness.signs(pool, groups).flatten(1)  # [pool, G * 128]
    wanted = group_of_column * SIGNS_PER_CALL + columns % SIGNS_PER_CALL
    return signs.index_select(1, wanted)
