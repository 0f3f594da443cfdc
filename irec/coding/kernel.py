"""The beam search of one stream on a CPU, compiled: what :mod:`irec.coding.search` does in torch.

At each step, beams are taken some at a time, so that all of it happens in the processor's cache:
one pass over beams x dimensions brings their sums up to date and weighs them, one matrix product
scores their candidates, two of each row of the codebook, and of each group of rows the best score
is noted. Those are enough to bound the worst score that stays, so that most candidates are never
looked at again.

Imported by the encoder alone, and late: compiling takes seconds at the first use on a machine, and
the compiler itself is not small. Formulas and names are those of :mod:`irec.coding.search`.
"""

import inspect
import math
from collections.abc import Callable
from pickle import UnpicklingError
from typing import Any

import numba
import numpy as np
from jaxtyping import Float32, Float64, Int8, Int32, Int64, UInt64

from irec.coding.shared_randomness import extend_hash, sign_pool_row

# Beams whose scores are computed together.
_BEAMS_AT_ONCE = 128
# Groups of rows whose best scores are noted.
_GROUPS = 8
# Sums in any order and fused products; but infinities stay infinite.
_FAST = {"reassoc", "contract", "nsz", "arcp", "nnan"}
# What is computed twice must come out the same.
_EXACT = {"nsz", "nnan"}


def _compiled(signature: str, fastmath: set[str] = _FAST) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function at import, or load what an earlier run has compiled.

    What is kept does not notice changes of `irec.coding.shared_randomness`: touch this file then.
    """

    def compile_function(function: Callable[..., Any]) -> Any:
        function = inspect.unwrap(function)  # tests have checks of types around it
        options: dict[str, Any] = {"nogil": True, "fastmath": fastmath, "error_model": "numpy"}
        try:
            return numba.njit(signature, cache=True, **options)(function)
        except (RuntimeError, OSError, EOFError, UnpicklingError):  # nowhere to keep it
            return numba.njit(signature, **options)(function)

    return compile_function


_extend_hash = _compiled("int64(int64, int64)")(extend_hash)
_sign_pool_row = _compiled("int64(int64)")(sign_pool_row)


@_compiled("void(float64[::1], float64[::1], float64[::1], float32[:, ::1])")
def _prepare(
    mean: Float64[np.ndarray, " A"],
    squared_scale: Float64[np.ndarray, " A"],
    row: Float64[np.ndarray, "5"],
    terms: Float32[np.ndarray, "3 A"],
) -> None:
    """Fill slope m, curvature q = 1/c - 1/v and drift sigma^2 m of one step."""
    variance, to_come = row[2], row[3]
    for a in range(mean.size):
        # 1 - c (1 - s^2), written so that nothing cancels: (1 - c) + c s^2.
        narrowing = to_come + (1.0 - to_come) * squared_scale[a]
        terms[0, a] = mean[a]
        terms[1, a] = (squared_scale[a] - 1.0) / narrowing
        terms[2, a] = variance * mean[a]


@_compiled(
    "void(float32[:, ::1], uint64[::1], float32, float32[::1], float32[:, ::1], float32[::1])"
)
def _take_rows(
    all_columns: Float32[np.ndarray, "R columns"],
    places: UInt64[np.ndarray, " A_or_0"],
    deviation: float,
    curvature: Float32[np.ndarray, " A"],
    rows: Float32[np.ndarray, "R A"],
    quadratic: Float32[np.ndarray, " R"],
) -> None:
    """Fill sigma E of the searched columns, and sum_dims q (sigma E)^2 / 2 of each row."""
    for i in range(rows.shape[0]):
        row, out = all_columns[i], rows[i]
        if places.size:
            for a in range(out.size):
                out[a] = deviation * row[places[a]]
        else:
            for a in range(out.size):
                out[a] = deviation * row[a]
        total = np.float32(0.0)
        for a in range(out.size):
            total += curvature[a] * out[a] * out[a]
        quadratic[i] = np.float32(0.5) * total


@_compiled(
    "int64(int64, int64, int64, boolean, uint64[::1], int32[::1], int32[::1], int32[:, ::1],"
    " float32[:, ::1], float32[:, ::1], float32[:, ::1], int8[:, ::1], int32[::1], float32,"
    " float32[:, ::1], float32[:, ::1], float32[::1])"
)
def _weigh(
    first: int,
    end: int,
    n_moved: int,
    is_first: bool,
    places: UInt64[np.ndarray, " A_or_0"],
    of_beam: Int32[np.ndarray, " B"],
    distinct: Int32[np.ndarray, " B"],
    extended: Int32[np.ndarray, "B 3"],
    then: Float32[np.ndarray, "B A"],
    now: Float32[np.ndarray, "B A"],
    last_rows: Float32[np.ndarray, "R columns"],
    sign_pool: Int8[np.ndarray, "pool columns"],
    pool_row: Int32[np.ndarray, " B"],
    deviation: float,
    terms: Float32[np.ndarray, "3 A"],
    pull: Float32[np.ndarray, "chunk A"],
    own: Float32[np.ndarray, " B"],
) -> int:
    """Fill `pull`, (q d + m) * sign, of the beams from `first` to `end`.

    Where an ancestor turns up for the first time, number `n_moved`, its sums are brought up to
    date: `now` is `then` and the variable chosen last less the drift, and `own` its
    sum_dims d (q d / 2 + m).

    Returns:
        How many ancestors have turned up.
    """
    width, has_places = terms.shape[1], places.size > 0
    for b in range(first, end):
        u = of_beam[b]
        if u == n_moved:
            n_moved += 1
            made = distinct[u]
            row, signs, chosen = extended[made, 0], extended[made, 1], extended[made, 2] // 2
            factor = deviation if extended[made, 2] % 2 == 0 else -deviation
            if is_first:
                for a in range(width):
                    now[u, a] = 0.0
            elif has_places:
                for a in range(width):
                    at = places[a]
                    variable = factor * sign_pool[signs, at] * last_rows[chosen, at]
                    now[u, a] = then[row, a] + variable
            else:
                for a in range(width):
                    variable = factor * sign_pool[signs, a] * last_rows[chosen, a]
                    now[u, a] = then[row, a] + variable
            total = np.float32(0.0)
            for a in range(width):
                d = now[u, a] - terms[2, a]
                now[u, a] = d
                total += d * (terms[1, a] * d + terms[0, a] + terms[0, a])
            own[u] = np.float32(0.5) * total
        signs = pool_row[b]
        if has_places:
            for a in range(width):
                weight = terms[1, a] * now[u, a] + terms[0, a]
                pull[b - first, a] = weight * sign_pool[signs, places[a]]
        else:
            for a in range(width):
                weight = terms[1, a] * now[u, a] + terms[0, a]
                pull[b - first, a] = weight * sign_pool[signs, a]
    return n_moved


@_compiled(
    "void(float32[:, ::1], float32[::1], float32[::1], float32[:, ::1], int64, int64)", _EXACT
)
def note_best(
    product: Float32[np.ndarray, "B R"],
    base: Float32[np.ndarray, " B"],
    quadratic: Float32[np.ndarray, " R"],
    best_of_group: Float32[np.ndarray, "B groups"],
    first: int,
    end: int,
) -> None:
    """Note the best scores of groups, of the beams from `first` to `end`; see `select_best`."""
    n_groups, n_left = best_of_group.shape[1], product.shape[1]
    best = np.empty(n_left, np.float32)
    for b in range(first, end):
        own, n_left = base[b], product.shape[1]
        for i in range(n_left):
            best[i] = (own + quadratic[i]) + abs(product[b, i])
        while n_left > n_groups:
            n_left //= 2
            for i in range(n_left):
                best[i] = best[i] if best[i] > best[i + n_left] else best[i + n_left]
        for i in range(n_groups):
            best_of_group[b, i] = best[i]


@_compiled(
    "int64(float32[:, ::1], float32[::1], float32[::1], float32[:, ::1], int64, int32[::1],"
    " int32[::1], float32[::1])",
    _EXACT,
)
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
    n_beams, n_groups = best_of_group.shape
    # As many groups as are wanted hold a score of at least this one, so the last chosen does too.
    bound = np.float32(-np.inf)
    if n_beams * n_groups > n_wanted:
        at = n_beams * n_groups - n_wanted
        bound = np.partition(best_of_group.ravel(), at)[at]
    # One more, as what is below the bound is written too, and written over.
    at_bound = np.empty(n_beams * n_groups + 1, np.int32)
    n_found = 0
    for b in range(n_beams):
        for g in range(n_groups):
            at_bound[n_found] = b * n_groups + g
            n_found += best_of_group[b, g] >= bound
    n_most = 1 + 2 * n_found * (product.shape[1] // n_groups)
    above = np.empty(n_most, np.float32)
    beam, candidate = np.empty(n_most, np.int32), np.empty(n_most, np.int32)
    n = 0
    for f in range(n_found):
        b = at_bound[f] // n_groups
        for i in range(at_bound[f] % n_groups, product.shape[1], n_groups):
            shared, own = base[b] + quadratic[i], product[b, i]
            if shared + abs(own) >= bound:  # few are, which the processor foresees
                above[n], beam[n], candidate[n] = shared + own, b, 2 * i
                n += shared + own >= bound
                above[n], beam[n], candidate[n] = shared - own, b, 2 * i + 1
                n += shared - own >= bound
    last, n_equal = bound, n
    if n > n_wanted:
        last = np.partition(above[:n], n - n_wanted)[n - n_wanted]
        n_equal = n_wanted
        for j in range(n):
            n_equal -= above[j] > last
    n_chosen = 0
    for j in range(n):
        is_equal = above[j] == last
        if above[j] > last or (is_equal and n_equal > 0):
            parent[n_chosen], index[n_chosen], score[n_chosen] = beam[j], candidate[j], above[j]
            n_chosen += 1
        n_equal -= is_equal
    return n_chosen


@_compiled("int64(int32[:, ::1], int64, int64, boolean, int32[::1], int32[::1])")
def _find_ancestors(
    ancestor: Int32[np.ndarray, "B slots"],
    slot: int,
    n: int,
    is_first: bool,
    of_beam: Int32[np.ndarray, " B"],
    distinct: Int32[np.ndarray, " B"],
) -> int:
    """Return how many beams of then today's `n` descend from; number these as they come."""
    if is_first:
        of_beam[:n] = 0
        distinct[0] = 0
        return 1
    number = np.full(ancestor.shape[0], -1, np.int32)
    n_distinct = 0
    for b in range(n):
        then = ancestor[b, slot]
        if number[then] < 0:
            number[then] = n_distinct
            distinct[n_distinct] = then
            n_distinct += 1
        of_beam[b] = number[then]
    return n_distinct


@_compiled(
    "Tuple((int64[::1], float64))(float64[:, ::1], float64[:, ::1], uint64[:, ::1],"
    " float64[:, ::1],"
    " float32[:, :, ::1], int8[:, ::1], int64, int64, int64)"
)
def search_stream(
    mean: Float64[np.ndarray, "L A"],
    squared_scale: Float64[np.ndarray, "L A"],
    places: UInt64[np.ndarray, "L A_or_0"],
    table: Float64[np.ndarray, "T 5"],
    codebook: Float32[np.ndarray, "K R columns"],
    sign_pool: Int8[np.ndarray, "pool columns"],
    first_hash: int,
    n_beams: int,
    n_slots: int,
) -> tuple[Int64[np.ndarray, " T"], float]:
    """Return the best path of indices that the search finds, and its log-ratio without constants.

    Args:
        mean: Whitened posterior means of each block.
        squared_scale: Whitened posterior variances.
        places: Columns of the codebook that belong to them; without any, the first ones.
        table: Block, step, variance, variance to come and variance of the block's last step, of
            each step of the path.
        codebook: Rows of variance one.
        sign_pool: Rows of -1 and 1.
        first_hash: Path hash that the stream begins with.
        n_beams: Hypotheses B to keep.
        n_slots: Blocks whose sums are needed at the same time: 1, or all.
    """
    n_steps, width, n_rows = table.shape[0], mean.shape[1], codebook.shape[1]
    # Of each block, the sums of its beams of then, as far as they have descendants, before and
    # after its last step; which row of these each beam of then extends, with which row of the sign
    # pool and which candidate; and what the block contributed to its log-ratio.
    offset = np.empty((2, n_slots, n_beams, width), np.float32)
    extended = np.zeros((n_slots, n_beams, 3), np.int32)
    block_ratio = np.zeros((n_slots, n_beams))
    side = np.zeros(n_slots, np.int64)
    # Of each beam, the path, its hash, log-ratio and, block by block, the beam of then it had been.
    parents = np.zeros((n_steps, n_beams), np.int32)
    indices = np.zeros((n_steps, n_beams), np.int32)
    hashes, next_hashes = np.zeros(n_beams, np.int64), np.zeros(n_beams, np.int64)
    pool_row = np.zeros(n_beams, np.int32)
    ratio, others = np.zeros(n_beams), np.zeros(n_beams)
    ancestor = np.zeros((n_beams, n_slots), np.int32)
    next_ancestor = np.zeros((n_beams, n_slots), np.int32)
    of_beam, distinct = np.zeros(n_beams, np.int32), np.zeros(n_beams, np.int32)
    # Of one step.
    terms = np.empty((3, width), np.float32)
    rows = np.empty((n_rows, width), np.float32)
    quadratic = np.empty(n_rows, np.float32)
    pull = np.empty((_BEAMS_AT_ONCE, width), np.float32)
    product = np.empty((n_beams, n_rows), np.float32)
    best_of_group = np.empty((n_beams, min(_GROUPS, n_rows)), np.float32)
    score = np.empty(n_beams, np.float32)
    own, lead = np.empty(n_beams, np.float32), np.empty(n_beams, np.float32)
    base = np.empty(n_beams, np.float32)

    n = 1
    hashes[0] = first_hash
    pool_row[0] = _sign_pool_row(first_hash)
    for t in range(n_steps):
        block, step = int(table[t, 0]), int(table[t, 1])
        deviation, last_deviation = math.sqrt(table[t, 2]), math.sqrt(table[t, 4])
        slot = block if n_slots > 1 else 0
        own_places = places[block]
        _prepare(mean[block], squared_scale[block], table[t], terms)
        _take_rows(codebook[step], own_places, deviation, terms[1], rows, quadratic)
        _find_ancestors(ancestor, slot, n, step == 0, of_beam, distinct)
        for b in range(n):
            others[b] = ratio[b]
            if step:
                others[b] -= block_ratio[slot, distinct[of_beam[b]]]
        top = others[:n].max()
        then, now = offset[side[slot], slot], offset[1 - side[slot], slot]
        n_moved = 0
        for first in range(0, n, _BEAMS_AT_ONCE):
            end = min(n, first + _BEAMS_AT_ONCE)
            n_moved = _weigh(
                first,
                end,
                n_moved,
                step == 0,
                own_places,
                of_beam,
                distinct,
                extended[slot],
                then,
                now,
                codebook[max(0, step - 1)],
                sign_pool,
                pool_row,
                last_deviation,
                terms,
                pull,
                own,
            )
            for b in range(first, end):
                # Only differences matter, and near zero float32 resolves them best.
                lead[b] = others[b] - top
                base[b] = lead[b] + own[of_beam[b]]
            np.dot(pull[: end - first], rows.T, product[first:end])
            note_best(product, base, quadratic, best_of_group, first, end)
        n_kept = select_best(
            product[:n], base, quadratic, best_of_group[:n], n_beams, parents[t], indices[t], score
        )
        for j in range(n_kept):
            p, i = parents[t, j], indices[t, j]
            extended[slot, j, 0] = of_beam[p]
            extended[slot, j, 1] = pool_row[p]
            extended[slot, j, 2] = i
            next_hashes[j] = _extend_hash(hashes[p], i)
            block_ratio[slot, j] = score[j] - lead[p]
            ratio[j] = others[p] + block_ratio[slot, j]
            of_parent, own_ancestors = ancestor[p], next_ancestor[j]
            for other in range(n_slots):
                own_ancestors[other] = of_parent[other]
            own_ancestors[slot] = j
        for j in range(n_kept):
            pool_row[j] = _sign_pool_row(next_hashes[j])
        hashes, next_hashes = next_hashes, hashes
        ancestor, next_ancestor = next_ancestor, ancestor
        side[slot] = 1 - side[slot]
        n = n_kept

    path = np.empty(n_steps, np.int64)
    best = np.argmax(ratio[:n])
    beam = best
    for t in range(n_steps - 1, -1, -1):
        path[t] = indices[t, beam]
        beam = parents[t, beam]
    return path, ratio[best]
