"""Philox4x32-10, the counter-based generator behind all shared randomness.

Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011. The
arithmetic is of whole numbers that never overflow, so every device gives the same bits.
"""

import numpy as np
import torch
from jaxtyping import Int64, UInt64
from torch import Tensor

WORD_MASK = 0xFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_KEY_INCREMENTS = (0x9E3779B9, 0xBB67AE85)
_N_ROUNDS = 10
_32, _MASK = np.uint64(32), np.uint64(WORD_MASK)

# Counters worked on together: a chunk then stays in the CPU's cache.
_CHUNK_ON_CPU = 1 << 13
_CHUNK_ON_ACCELERATOR = 1 << 22


def philox(
    counter: tuple[Tensor, Tensor, Tensor, Tensor], key: tuple[int, int]
) -> Int64[Tensor, " 4 *shape"]:
    """Return the four 32-bit words that Philox4x32-10 gives for each counter.

    Args:
        counter: The counter's four words, int64 in [0, 2^32); they are broadcast to one shape.
        key: The key's two words, in [0, 2^32).

    Returns:
        Words in [0, 2^32) as int64, shape ``[4, *shape]``.
    """
    words = torch.stack(torch.broadcast_tensors(*counter))
    flat = words.view(4, -1)
    if words.device.type == "cpu":
        unsigned = flat.numpy().view(np.uint64)
        for start in range(0, flat.shape[1], _CHUNK_ON_CPU):
            _rounds_on_cpu(unsigned[:, start : start + _CHUNK_ON_CPU], *key)
        return words
    for start in range(0, flat.shape[1], _CHUNK_ON_ACCELERATOR):
        part = flat[:, start : start + _CHUNK_ON_ACCELERATOR]
        part.copy_(torch.stack(_rounds(part[0], part[1], part[2], part[3], *key)))
    return words


def _rounds_on_cpu(words: UInt64[np.ndarray, "4 n"], k0: int, k1: int) -> None:
    """Replace counters in place: products have 64 bits, as unsigned numbers of numpy do."""
    c0, c1, c2, c3 = words
    p0, p1 = np.empty_like(c0), np.empty_like(c0)
    for _ in range(_N_ROUNDS):
        np.multiply(c0, np.uint64(_MULTIPLIERS[0]), out=p0)
        np.multiply(c2, np.uint64(_MULTIPLIERS[1]), out=p1)
        np.right_shift(p1, _32, out=c0)
        c0 ^= c1
        c0 ^= np.uint64(k0)
        np.bitwise_and(p1, _MASK, out=c1)
        np.right_shift(p0, _32, out=c2)
        c2 ^= c3
        c2 ^= np.uint64(k1)
        np.bitwise_and(p0, _MASK, out=c3)
        k0 = (k0 + _KEY_INCREMENTS[0]) & WORD_MASK
        k1 = (k1 + _KEY_INCREMENTS[1]) & WORD_MASK


def _rounds(
    c0: Tensor, c1: Tensor, c2: Tensor, c3: Tensor, k0: int, k1: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    for _ in range(_N_ROUNDS):
        high0, low0 = _multiply(c0, _MULTIPLIERS[0])
        high1, low1 = _multiply(c2, _MULTIPLIERS[1])
        c0, c1 = high1.bitwise_xor_(c1).bitwise_xor_(k0), low1
        c2, c3 = high0.bitwise_xor_(c3).bitwise_xor_(k1), low0
        k0 = (k0 + _KEY_INCREMENTS[0]) & WORD_MASK
        k1 = (k1 + _KEY_INCREMENTS[1]) & WORD_MASK
    return c0, c1, c2, c3


def _multiply(word: Tensor, multiplier: int) -> tuple[Tensor, Tensor]:
    """Return the high and the low 32 bits of ``word * multiplier``, for an odd multiplier.

    The product may need 64 bits, one more than int64 has. With the word moved down by 2^31 it needs
    63 and a sign, and 2^31 * multiplier is then added to the halves: to the high one after a shift
    that makes room, to the low one as the flip of bit 31 that it is for an odd multiplier.
    """
    product = (word - (1 << 31)).mul_(multiplier)
    high = (product >> 1).add_(multiplier << 30).bitwise_right_shift_(31)
    low = product.bitwise_xor_(1 << 31).bitwise_and_(WORD_MASK)
    return high, low
