"""The random numbers that encoder and decoder both draw, as pure functions of their coordinates.

A Philox call is keyed on the seed; its counter holds (where, row, step, tensor and purpose), so any
part of the codebook can be drawn alone and no two parts overlap.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import torch
from jaxtyping import Float32, Int8, Int64
from torch import Tensor

from irec.coding.arguments import whole_number
from irec.coding.normals import normals_from_words
from irec.coding.philox import WORD_MASK, philox
from irec.errors import InvalidParameterError

NORMALS_PER_CALL = 8
SIGNS_PER_CALL = 128
_POOL_BITS = 10
SIGN_POOL_SIZE = 1 << _POOL_BITS
"""Sign vectors that a path's hash picks from."""

_MAX_TENSORS = 1 << 28
_CODEBOOK, _PRIOR, _SIGNS, _ORDER, _PATHS, _AFTER_PATH, _DECISIONS = range(7)

_MIX_MULTIPLIERS = (0x2C1B3C6D, 0x297A2D39)
_INDEX_MULTIPLIER = 0x1E35A7BD


@dataclass(frozen=True)
class SharedRandomness:
    """All random numbers of one tensor.

    Attributes:
        seed: In [0, 2^64).
        tensor: The tensor's number within the image or model, in [0, 2^28).
        device: Where the numbers are wanted; their values do not depend on it.
    """

    seed: int
    tensor: int
    device: torch.device

    def __post_init__(self) -> None:
        """Check the ranges that the counters have room for."""
        for name in ("seed", "tensor"):
            object.__setattr__(self, name, whole_number(getattr(self, name), name))
        if not 0 <= self.seed < 1 << 64:
            raise InvalidParameterError(f"seed must be in [0, 2^64), not {self.seed}.")
        if not 0 <= self.tensor < _MAX_TENSORS:
            raise InvalidParameterError(f"tensor must be in [0, 2^28), not {self.tensor}.")

    def codebook(
        self, step: Int64[Tensor, "..."], row: Int64[Tensor, "..."], group: Int64[Tensor, "..."]
    ) -> Float32[Tensor, "... 8"]:
        """Return the normals of eight neighbouring columns, ``8 * group + 0 .. 7``, of a codebook.

        Args:
            step: Step within the block.
            row: Of the codebook; each stands for two candidates.
            group: Column of the block // 8. The three are broadcast.
        """
        return normals_from_words(self._words(_CODEBOOK, group, row, step))

    def prior_sample(self, n_dims: int) -> Float32[Tensor, " {n_dims}"]:
        """Return the draw from the prior that stands for a code without steps."""
        groups = torch.arange(-(-n_dims // NORMALS_PER_CALL), device=self.device)
        return normals_from_words(self._words(_PRIOR, groups)).flatten()[:n_dims]

    def signs(
        self, pool_row: Int64[Tensor, "..."], group: Int64[Tensor, "..."]
    ) -> Int8[Tensor, "... 128"]:
        """Return signs, -1 and 1, of columns ``128 * group + 0 .. 127``; the two are broadcast."""
        words = self._words(_SIGNS, group, pool_row).movedim(0, -1)
        in_bytes = words.unsqueeze(-1) >> torch.arange(0, 32, 8, device=self.device)
        return _signs_of_byte(self.device)[in_bytes & 0xFF].flatten(-3)

    def order_keys(self, n_keys: int) -> Int64[Tensor, " {n_keys}"]:
        """Return 32-bit keys; sorting by them shuffles."""
        calls = torch.arange(-(-n_keys // 4), device=self.device)
        return self._words(_ORDER, calls).movedim(0, -1).flatten()[:n_keys]

    def first_hash(self, stream: Int64[Tensor, " *shape"]) -> Int64[Tensor, " *shape"]:
        """Return the path hash with which a stream begins."""
        return self._words(_PATHS, stream)[0]

    def after_path(
        self, path_hash: Int64[Tensor, "..."], row: Int64[Tensor, "..."], n_dims: int
    ) -> Float32[Tensor, "... {n_dims}"]:
        """Return candidates that belong to one path alone, as the paper's coder draws them.

        Args:
            path_hash: Hash of the indices chosen so far.
            row: Candidate; broadcast with the hash.
            n_dims: Length of a candidate.
        """
        groups = torch.arange(-(-n_dims // NORMALS_PER_CALL), device=self.device)
        words = self._words(_AFTER_PATH, groups, row.unsqueeze(-1), path_hash.unsqueeze(-1))
        return normals_from_words(words).flatten(-2)[..., :n_dims]

    def words_after_path(
        self, path_hash: Int64[Tensor, "..."], row: Int64[Tensor, "..."]
    ) -> Int64[Tensor, " 4 ..."]:
        """Return words that decide, in the encoder alone, between the candidates of a path."""
        return self._words(_DECISIONS, torch.zeros_like(row), row, path_hash)

    def _words(
        self, purpose: int, where: Tensor, row: Tensor | None = None, step: Tensor | None = None
    ) -> Tensor:
        zero = torch.zeros((), dtype=torch.int64, device=self.device)
        purpose_and_tensor = zero + (self.tensor * 16 + purpose)
        counter = (
            where,
            zero if row is None else row,
            zero if step is None else step,
            purpose_and_tensor,
        )
        return philox(counter, (self.seed & WORD_MASK, self.seed >> 32))


@lru_cache(maxsize=8)
def _signs_of_byte(device: torch.device) -> Int8[Tensor, "256 8"]:
    """Return what signs the bits of each byte stand for, the lowest first: -1 where one is set."""
    bits = torch.arange(256).unsqueeze(1) >> torch.arange(8)
    return (1 - 2 * (bits & 1)).to(torch.int8).to(device)


_Word = TypeVar("_Word", int, Tensor)


def extend_hash(path_hash: _Word, index: _Word) -> _Word:
    """Return the hash of a path that goes on with an index: 32-bit words, in int64 tensors or int.

    C. Wellons, "Prospecting for hash functions" (2018); both multipliers are below 2^31, so that
    the product with a 32-bit word stays in int64.
    """
    word = (path_hash + (index + 1) * _INDEX_MULTIPLIER) & WORD_MASK
    word = word ^ (word >> 16)
    word = (word * _MIX_MULTIPLIERS[0]) & WORD_MASK
    word = word ^ (word >> 12)
    word = (word * _MIX_MULTIPLIERS[1]) & WORD_MASK
    return word ^ (word >> 15)


def sign_pool_row(path_hash: Int64[Tensor, " *shape"]) -> Int64[Tensor, " *shape"]:
    """Return the row of the sign pool that a path's hash picks: its top bits."""
    return path_hash >> (32 - _POOL_BITS)
