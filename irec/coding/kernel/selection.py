"""Which candidates stay: the largest scores, without sorting and mostly without looking."""

import math

import numpy as np
from jaxtyping import Float32, Int32

from irec.coding.kernel.compiling import inner
from irec.coding.kernel.vectors import LANES, lowest_bit, scores_reaching, values_reaching

GROUPS = LANES
"""Groups of rows, at most, whose best scores are noted."""

# Every so many of them are looked at first, where more than a few are wanted. No divisor of their
# number: all groups get their turn.
_SAMPLED_EVERY, _N_SAMPLED = 9, 64


@inner(exact=True)
def note_best(
    product: Float32[np.ndarray, "B R"],
    base: Float32[np.ndarray, " B"],
    quadratic: Float32[np.ndarray, " R"],
    best_of_group: Float32[np.ndarray, "B groups"],
) -> None:
    """Note the best scores of groups; see `select_best`."""
    n_groups, n_left = best_of_group.shape[1], product.shape[1]
    best = np.empty(n_left, np.float32)
    for b in range(product.shape[0]):
        own, n_left = base[b], product.shape[1]
        for i in range(n_left):
            best[i] = (own + quadratic[i]) + abs(product[b, i])
        while n_left > n_groups:
            n_left //= 2
            for i in range(n_left):
                best[i] = best[i] if best[i] > best[i + n_left] else best[i + n_left]
        for i in range(n_groups):
            best_of_group[b, i] = best[i]


@inner(exact=True)
def threshold(values: Float32[np.ndarray, " n"], n_wanted: int, n_spare: int) -> np.float32:
    """Return a number that as many values as are wanted reach, and at most `n_spare` more.

    Or more than that, where values are equal; or -inf, where there are not so many.
    """
    if values.size < n_wanted:
        return np.float32(-np.inf)
    # Integers ascend as the numbers do that have their bits, negative ones turned round. Halving
    # what is in question takes 32 passes at most, of 16 values at a time.
    bits = values.view(np.int32)
    keys = np.empty(values.size, np.int32)
    for i in range(values.size):
        keys[i] = bits[i] ^ ((bits[i] >> np.int32(31)) & np.int32(0x7FFFFFFF))
    low, high = np.int64(keys.min()), np.int64(keys.max()) + 1
    while high - low > 1:
        middle = np.int32((low + high) >> 1)
        n = np.int32(0)
        for i in range(keys.size):
            n = np.int32(n + (keys[i] >= middle))  # or numba counts in 64 bits
        if n < n_wanted:
            high = np.int64(middle)
        else:
            low = np.int64(middle)
            if n <= n_wanted + n_spare:
                break
    found = np.empty(1, np.int32)
    found[0] = low ^ ((low >> 31) & 0x7FFFFFFF)
    return found.view(np.float32)[0]


@inner(exact=True)
def _n_reaching(values: Float32[np.ndarray, " n"], bound: np.float32) -> np.int32:
    n = np.int32(0)
    for i in range(values.size):
        n = np.int32(n + (values[i] >= bound))
    return n


@inner(exact=True)
def _bound(values: Float32[np.ndarray, " n"], n_wanted: int) -> tuple[np.float32, int]:
    """Return a number that as many values as are wanted reach, or a few more, and how many do."""
    if values.size >= n_wanted > _N_SAMPLED:
        # What a sample says, two deviations lower: that it is too high after all is rare.
        expected = n_wanted / _SAMPLED_EVERY
        n_of_sample = int(expected + 2.0 * math.sqrt(expected))
        bound = threshold(values[::_SAMPLED_EVERY].copy(), n_of_sample, 0)
        n = _n_reaching(values, bound)
        if n >= n_wanted:
            return bound, n
    bound = threshold(values, n_wanted, n_wanted // 16)
    return bound, _n_reaching(values, bound)


@inner(exact=True)
def _rows_reaching(
    bound: np.float32,
    n_groups_reaching: int,
    product: Float32[np.ndarray, "beams R"],
    base: Float32[np.ndarray, " beams"],
    quadratic: Float32[np.ndarray, " R"],
    best_of_group: Float32[np.ndarray, "beams groups"],
) -> tuple[Int32[np.ndarray, " found"], Int32[np.ndarray, " found"]]:
    """Return beams, ascending, and rows whose better score reaches the bound."""
    (n_beams, n_groups), n_rows = best_of_group.shape, product.shape[1]
    of_groups, products = best_of_group.ctypes.data, product.ctypes.data
    quadratics = quadratic.ctypes.data
    room = n_groups_reaching * (n_rows // n_groups) + 1
    beam, row, n = np.empty(room, np.int32), np.empty(room, np.int32), 0
    for b in range(n_beams):
        if n_groups < LANES:
            for i in range(n_rows):
                if (base[b] + quadratic[i]) + abs(product[b, i]) >= bound:
                    beam[n], row[n] = b, i
                    n += 1
        elif values_reaching(of_groups + 4 * n_groups * b, bound):
            for i in range(0, n_rows, LANES):
                mask = scores_reaching(
                    products + 4 * (n_rows * b + i), quadratics + 4 * i, base[b], bound
                )
                # One at most, mostly: written before it is known whether there is one.
                beam[n], row[n] = b, i + lowest_bit(mask)
                n += mask != 0
                mask &= mask - 1
                while mask:
                    beam[n], row[n] = b, i + lowest_bit(mask)
                    mask &= mask - 1
                    n += 1
    return beam[:n], row[:n]


@inner(exact=True)
def select_best(
    product: Float32[np.ndarray, "beams R"],
    base: Float32[np.ndarray, " beams"],
    quadratic: Float32[np.ndarray, " R"],
    best_of_group: Float32[np.ndarray, "beams groups"],
    n_wanted: int,
    parent: Int32[np.ndarray, " n_wanted"],
    index: Int32[np.ndarray, " n_wanted"],
    score: Float32[np.ndarray, " n_wanted"],
) -> int:
    """Find the largest scores; of equal ones, always the same.

    Args:
        product: Of every row and beam. The scores of the row's two candidates are what they share,
            ``base + quadratic``, and the product more, and less.
        base: Of every beam.
        quadratic: Of every row.
        best_of_group: The best score of each group: of all rows i with the same i % groups.
        n_wanted: How many are wanted.
        parent: Receives their beams, ascending.
        index: Receives their candidates.
        score: Receives their scores.

    Returns:
        How many there are: all, or ``n_wanted``.
    """
    # As many groups as are wanted hold a score of at least this one, so the last chosen does too.
    bound, n_reaching = _bound(best_of_group.ravel(), n_wanted)
    beam, row = _rows_reaching(bound, n_reaching, product, base, quadratic, best_of_group)
    # One more, as what is below the bound is written too, and written over.
    room = 2 * beam.size + 1
    above, place = np.empty(room, np.float32), np.empty(room, np.int64)
    n = 0
    for j in range(beam.size):
        b, i = beam[j], row[j]
        shared, own = base[b] + quadratic[i], product[b, i]
        above[n], place[n] = shared + own, 2 * j
        n += shared + own >= bound
        above[n], place[n] = shared - own, 2 * j + 1
        n += shared - own >= bound
    last, n_equal = threshold(above[:n], n_wanted, 0), n_wanted
    for j in range(n):
        n_equal -= above[j] > last
    n_chosen = 0
    for j in range(n):
        is_equal = above[j] == last
        if above[j] > last or (is_equal and n_equal > 0):
            parent[n_chosen] = beam[place[j] // 2]
            index[n_chosen] = 2 * row[place[j] // 2] + place[j] % 2
            score[n_chosen] = above[j]
            n_chosen += 1
        n_equal -= is_equal
    return n_chosen
