"""The part of the shared codebook and sign pool that a search needs, drawn once."""

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
        self.n_steps, self.n_candidates = n_steps, n_candidates
        self._place = torch.zeros(int(columns[-1]) + 1, dtype=torch.int64, device=columns.device)
        self._place[columns] = torch.arange(columns.numel(), device=columns.device)
        self._candidates = _draw_candidates(randomness, columns, n_steps, n_candidates)
        self._signs = _draw_signs(randomness, columns)

    def candidates(self, columns: Int64[Tensor, " a"]) -> Float32[Tensor, " KM a"]:
        """Return the candidates of a block's columns: row ``step * M + candidate``."""
        return self._candidates.index_select(0, self._place[columns]).t().contiguous()

    def signs(self, columns: Int64[Tensor, " a"]) -> Float32[Tensor, " pool a"]:
        """Return the sign pool of a block's columns, of -1 and 1."""
        return self._signs.index_select(0, self._place[columns]).float().t().contiguous()


def _draw_candidates(
    randomness: SharedRandomness, columns: Tensor, n_steps: int, n_candidates: int
) -> Float32[Tensor, " columns KM"]:
    groups, group_of_column = (columns // NORMALS_PER_CALL).unique_consecutive(return_inverse=True)
    row = torch.arange(n_candidates, device=columns.device)
    step = torch.arange(n_steps, device=columns.device).unsqueeze(1)
    normals = randomness.candidates(step, row, groups.view(-1, 1, 1))  # [G, K, M, 8]
    by_column = normals.flatten(1, 2).transpose(1, 2).flatten(0, 1)  # [G * 8, K * M]
    return by_column[group_of_column * NORMALS_PER_CALL + columns % NORMALS_PER_CALL]


def _draw_signs(randomness: SharedRandomness, columns: Tensor) -> Int8[Tensor, " columns pool"]:
    groups, group_of_column = (columns // SIGNS_PER_CALL).unique_consecutive(return_inverse=True)
    pool = torch.arange(SIGN_POOL_SIZE, device=columns.device)
    words = randomness.sign_words(pool, groups.unsqueeze(1)).transpose(0, 1)  # [G, 4, pool]
    signs = torch.empty(columns.numel(), SIGN_POOL_SIZE, dtype=torch.int8, device=columns.device)
    word_of_column = columns % SIGNS_PER_CALL // 32
    for start in range(0, columns.numel(), 1024):  # eight times the memory, so not all at once
        part = slice(start, start + 1024)
        bits = words[group_of_column[part], word_of_column[part]] >> (columns[part, None] % 32)
        signs[part] = (bits & 1).mul_(-2).add_(1)
    return signs
