"""The beam search of one stream on a CPU, compiled: what :mod:`irec.coding.search` does in torch.

At each step, beams are taken some at a time, so that all of it happens in the processor's cache:
the sums of their ancestors are brought up to date, one matrix product scores their candidates, two
of each row of the codebook, and of each group of rows the best score is noted. Those are enough to
bound the worst score that stays, so that most candidates are never looked at again.

Where rounding to bytes hardly changes a score, as the products' factors tell beforehand, bytes are
multiplied (:mod:`irec.coding.byte_product`), and only what stays is weighed in floats.

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
from jaxtyping import Float32, Float64, Int8, Int32, Int64, UInt8, UInt64

from irec.coding.byte_product import (
    BEAMS_AT_ONCE,
    HAS_BYTE_PRODUCTS,
    ROWS_AT_ONCE,
    multiply_bytes,
)
from irec.coding.shared_randomness import extend_hash, sign_pool_row

# Beams whose scores are computed together.
_CHUNK = 128
# Bytes hold rows in this many steps a deviation (up to 4.2 deviations), and pulls in 127.
_ROW_STEPS, _PULL_STEPS = 30.0, 127.0
# Groups of rows whose best scores are noted.
_GROUPS = 16
# Sums in any order and fused products; but infinities stay infinite.
_FAST = {"reassoc", "contract", "nsz", "arcp", "nnan"}
# What is computed twice must come out the same.
_EXACT = {"nsz", "nnan"}


def _compiled(signature: str, fastmath: set[str] = _FAST) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function at import, or load what an earlier run has compiled.

    What is kept does not notice changes of `irec.coding.shared_randomness` nor of
    `irec.coding.byte_product`: touch this file then.
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
_multiply_bytes = _compiled(
    "void(uint8[:, ::1], int8[:, :, ::1], int32[::1], float32[::1], float32[:, ::1])"
)(multiply_bytes)


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


@_compiled("void(float32[:, ::1], uint64[::1], float32, float32[:, ::1])")
def _take_rows(
    all_columns: Float32[np.ndarray, "R columns"],
    places: UInt64[np.ndarray, " A"],
    deviation: float,
    rows: Float32[np.ndarray, "R A"],
) -> None:
    """Fill sigma E of the searched columns."""
    for i in range(rows.shape[0]):
        row, out = all_columns[i], rows[i]
        for a in range(out.size):
            out[a] = deviation * row[places[a]]


@_compiled("void(float32[:, ::1], float32[::1], float32[::1])")
def _square_rows(
    rows: Float32[np.ndarray, "R A"],
    curvature: Float32[np.ndarray, " A"],
    quadratic: Float32[np.ndarray, " R"],
) -> None:
    """Fill sum_dims q (sigma E)^2 / 2 of each row."""
    for i in range(rows.shape[0]):
        row, total = rows[i], np.float32(0.0)
        for a in range(row.size):
            total += curvature[a] * row[a] * row[a]
        quadratic[i] = np.float32(0.5) * total


@_compiled("void(int8[:, ::1], uint64[::1], int8[:, ::1])")
def _take_signs(
    all_columns: Int8[np.ndarray, "pool columns"],
    places: UInt64[np.ndarray, " A"],
    signs: Int8[np.ndarray, "pool A"],
) -> None:
    """Fill the signs of the searched columns."""
    for i in range(signs.shape[0]):
        row, out = all_columns[i], signs[i]
        for a in range(out.size):
            out[a] = row[places[a]]


@_compiled(
    "int64(int64, int64, int64, boolean, int32[::1], int32[::1], int32[:, ::1],"
    " float32[:, ::1], float32[:, ::1], float32[:, ::1], int8[:, ::1], float32[:, ::1],"
    " float32[::1])"
)
def _move_on(
    first: int,
    end: int,
    n_moved: int,
    is_first: bool,
    of_beam: Int32[np.ndarray, " B"],
    distinct: Int32[np.ndarray, " B"],
    extended: Int32[np.ndarray, "B 3"],
    then: Float32[np.ndarray, "B A"],
    now: Float32[np.ndarray, "B A"],
    last_rows: Float32[np.ndarray, "R A"],
    signs: Int8[np.ndarray, "pool A"],
    terms: Float32[np.ndarray, "3 A"],
    own: Float32[np.ndarray, " B"],
) -> int:
    """Bring the sums of the ancestors of the beams from `first` to `end` up to date.

    Where an ancestor turns up for the first time, number `n_moved`, `now` becomes `then` and the
    variable chosen last less the drift, and `own` its sum_dims d (q d / 2 + m).

    Returns:
        How many ancestors have turned up.
    """
    slope, curvature, drift = terms[0], terms[1], terms[2]
    for b in range(first, end):
        if of_beam[b] < n_moved:
            continue
        made, sums = distinct[n_moved], now[n_moved]
        before, sign = then[extended[made, 0]], signs[extended[made, 1]]
        row = last_rows[extended[made, 2] // 2]
        side = np.float32(1.0 if extended[made, 2] % 2 == 0 else -1.0)
        if is_first:
            sums[:] = 0.0
        else:
            for a in range(sums.size):
                sums[a] = before[a] + side * sign[a] * row[a]
        total = np.float32(0.0)
        for a in range(sums.size):
            d = sums[a] - drift[a]
            sums[a] = d
            total += d * (curvature[a] * d + slope[a] + slope[a])
        own[n_moved] = np.float32(0.5) * total
        n_moved += 1
    return n_moved


@_compiled(
    "void(int64, int64, int32[::1], int32[::1], float32[:, ::1], int8[:, ::1], float32[:, ::1],"
    " float32[:, ::1])"
)
def _pull(
    first: int,
    end: int,
    of_beam: Int32[np.ndarray, " B"],
    pool_row: Int32[np.ndarray, " B"],
    now: Float32[np.ndarray, "B A"],
    signs: Int8[np.ndarray, "pool A"],
    terms: Float32[np.ndarray, "3 A"],
    pull: Float32[np.ndarray, "chunk A"],
) -> None:
    """Fill `pull`, (q d + m) * sign, of the beams from `first` to `end`."""
    slope, curvature = terms[0], terms[1]
    for b in range(first, end):
        sums, sign, out = now[of_beam[b]], signs[pool_row[b]], pull[b - first]
        for a in range(sums.size):
            out[a] = (curvature[a] * sums[a] + slope[a]) * sign[a]


@_compiled("void(float32[:, ::1], float32, int8[:, :, ::1], int32[::1])")
def _rows_to_bytes(
    rows: Float32[np.ndarray, "R A"],
    deviation: float,
    row_bytes: Int8[np.ndarray, "quads R 4"],
    shift: Int32[np.ndarray, " R"],
) -> None:
    """Fill `row_bytes` with the rows, in steps, and `shift`; see `multiply_bytes`."""
    steps_per_unit = np.float32(_ROW_STEPS) / deviation
    shift[:] = 0
    for quad in range(row_bytes.shape[0]):
        for i in range(rows.shape[0]):
            total = np.int32(0)
            for part in range(4):
                steps = rows[i, 4 * quad + part] * steps_per_unit
                steps = min(max(steps, np.float32(-127.0)), np.float32(127.0))
                rounded = np.int32(steps + np.float32(128.5)) - np.int32(128)
                row_bytes[quad, i, part] = rounded
                total += rounded
            shift[i] -= 128 * total


@_compiled(
    "void(int64, int64, float32[:, ::1], float32[:, ::1], float32, int8[:, ::1], float32[::1],"
    " float32[::1], float32[::1])"
)
def _to_steps(
    first: int,
    end: int,
    now: Float32[np.ndarray, "B A"],
    terms: Float32[np.ndarray, "3 A"],
    deviation: float,
    steps: Int8[np.ndarray, "B A"],
    size: Float32[np.ndarray, " B"],
    noise: Float32[np.ndarray, " B"],
    pull: Float32[np.ndarray, " A"],
) -> None:
    """Fill q d + m, in `steps` of a `size`, of the ancestors from `first` to `end`.

    And `noise`, the deviation of what rounding to these, and rounding rows, does to their scores.
    """
    slope, curvature = terms[0], terms[1]
    # Magnitudes ascend as their bits do, and processors find the largest integer sooner.
    bits, size_bits = pull.view(np.int32), size.view(np.int32)
    for u in range(first, end):
        sums, out = now[u], steps[u]
        power, peak_bits = np.float32(0.0), np.int32(0)
        for a in range(pull.size):
            pull[a] = curvature[a] * sums[a] + slope[a]
            power += pull[a] * pull[a]
        for a in range(pull.size):
            peak_bits = max(peak_bits, bits[a] & np.int32(0x7FFFFFFF))
        size_bits[u] = peak_bits
        step = max(size[u], np.float32(1e-30)) / np.float32(_PULL_STEPS)
        steps_per_unit = np.float32(1.0) / step
        for a in range(pull.size):
            out[a] = np.int32(pull[a] * steps_per_unit + np.float32(128.5)) - np.int32(128)
        size[u] = step
        # A twelfth of the squared step, in each dimension.
        variance = (pull.size * step * step + power / np.float32(_ROW_STEPS**2)) / np.float32(12.0)
        noise[u] = deviation * np.sqrt(variance)


@_compiled(
    "void(int64, int64, int32[::1], int32[::1], int8[:, ::1], float32[::1], int8[:, ::1], float32,"
    " uint8[:, ::1], float32[::1])"
)
def _pull_in_bytes(
    first: int,
    end: int,
    of_beam: Int32[np.ndarray, " B"],
    pool_row: Int32[np.ndarray, " B"],
    steps: Int8[np.ndarray, "B A"],
    size: Float32[np.ndarray, " B"],
    signs: Int8[np.ndarray, "pool A"],
    deviation: float,
    pull: UInt8[np.ndarray, "chunk A"],
    factor: Float32[np.ndarray, " chunk"],
) -> None:
    """Fill `pull` and `factor` of the beams from `first` to `end`; see `multiply_bytes`."""
    for b in range(first, end):
        u = of_beam[b]
        own_steps, sign, out = steps[u], signs[pool_row[b]], pull[b - first]
        for a in range(out.size):
            out[a] = np.uint8(own_steps[a] * sign[a]) ^ np.uint8(128)
        factor[b - first] = size[u] * deviation / np.float32(_ROW_STEPS)


@_compiled(
    "void(float32[:, ::1], int8[:, ::1], float32[:, ::1], float32[:, ::1], int32[::1],"
    " int32[::1], float32[::1], float32[::1], int32[::1], int32[::1], float32[::1])"
)
def _weigh_chosen(
    now: Float32[np.ndarray, "B A"],
    signs: Int8[np.ndarray, "pool A"],
    rows: Float32[np.ndarray, "R A"],
    terms: Float32[np.ndarray, "3 A"],
    of_beam: Int32[np.ndarray, " B"],
    pool_row: Int32[np.ndarray, " B"],
    base: Float32[np.ndarray, " B"],
    quadratic: Float32[np.ndarray, " R"],
    parent: Int32[np.ndarray, " chosen"],
    index: Int32[np.ndarray, " chosen"],
    score: Float32[np.ndarray, " chosen"],
) -> None:
    """Replace scores that come from bytes."""
    slope, curvature = terms[0], terms[1]
    for j in range(parent.size):
        p, chosen = parent[j], index[j] // 2
        sums, sign, row = now[of_beam[p]], signs[pool_row[p]], rows[chosen]
        product = np.float32(0.0)
        for a in range(row.size):
            product += (curvature[a] * sums[a] + slope[a]) * sign[a] * row[a]
        score[j] = (base[p] + quadratic[chosen]) + (product if index[j] % 2 == 0 else -product)


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


@_compiled("float32(float32[::1], int64, int64)", _EXACT)
def _threshold(values: Float32[np.ndarray, " n"], n_wanted: int, n_spare: int) -> float:
    """Return a number that as many values as are wanted reach, and at most `n_spare` more.

    Or more than that, where values are equal; or -inf, where there are not so many.
    """
    if values.size < n_wanted:
        return -np.inf
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
            n += np.int32(keys[i] >= middle)
        if n < n_wanted:
            high = np.int64(middle)
        else:
            low = np.int64(middle)
            if n <= n_wanted + n_spare:
                break
    found = np.empty(1, np.int32)
    found[0] = low ^ ((low >> 31) & 0x7FFFFFFF)
    return float(found.view(np.float32)[0])


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
    bound = _threshold(best_of_group.ravel(), n_wanted, n_wanted // 16)
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
    last, n_equal = _threshold(above[:n], n_wanted, 0), n_wanted
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
    " float32[:, :, ::1], int8[:, ::1], int64, int64, int64, float64)"
)
def search_stream(
    mean: Float64[np.ndarray, "L A"],
    squared_scale: Float64[np.ndarray, "L A"],
    places: UInt64[np.ndarray, "L A"],
    table: Float64[np.ndarray, "T 5"],
    codebook: Float32[np.ndarray, "K R columns"],
    sign_pool: Int8[np.ndarray, "pool columns"],
    first_hash: int,
    n_beams: int,
    n_slots: int,
    max_noise: float,
) -> tuple[Int64[np.ndarray, " T"], float]:
    """Return the best path of indices that the search finds, and its log-ratio without constants.

    Args:
        mean: Whitened posterior means of each block; A is a multiple of 4.
        squared_scale: Whitened posterior variances.
        places: Columns of the codebook that belong to them.
        table: Block, step, variance, variance to come and variance of the block's last step, of
            each step of the path.
        codebook: Rows of variance one.
        sign_pool: Rows of -1 and 1.
        first_hash: Path hash that the stream begins with.
        n_beams: Hypotheses B to keep.
        n_slots: Blocks whose sums are needed at the same time: 1, or all.
        max_noise: What rounding may do to scores that choose, in nats (deviation): where it is
            less, products are those of bytes. 0 for none.
    """
    n_steps, width, n_rows = table.shape[0], mean.shape[1], codebook.shape[1]
    # Of each block, the sums of its beams of then, as far as they have descendants, before and
    # after its last step; which row of these each beam of then extends, with which row of the sign
    # pool and which candidate; and what the block contributed to its log-ratio.
    offset = np.empty((2, n_slots, n_beams, width), np.float32)
    extended = np.zeros((n_slots, n_beams, 3), np.int32)
    block_ratio = np.zeros((n_slots, n_beams))
    side = np.zeros(n_slots, np.int64)
    signs = np.empty((n_slots, sign_pool.shape[0], width), np.int8)
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
    last_rows = np.empty((n_rows, width), np.float32)
    quadratic = np.empty(n_rows, np.float32)
    pull = np.empty((_CHUNK, width), np.float32)
    # Products of bytes come for some beams at once.
    product = np.empty((n_beams + BEAMS_AT_ONCE, n_rows), np.float32)
    has_bytes = HAS_BYTE_PRODUCTS and max_noise > 0.0 and n_rows % ROWS_AT_ONCE == 0
    row_bytes, shift = np.zeros((width // 4, n_rows, 4), np.int8), np.empty(n_rows, np.int32)
    steps, size = np.empty((n_beams, width), np.int8), np.empty(n_beams, np.float32)
    noise = np.full(n_beams, np.float32(np.inf))
    pull_bytes, factor = np.zeros((_CHUNK, width), np.uint8), np.zeros(_CHUNK, np.float32)
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
        _prepare(mean[block], squared_scale[block], table[t], terms)
        _take_rows(codebook[step], places[block], deviation, rows)
        _square_rows(rows, terms[1], quadratic)
        if step == 0:
            _take_signs(sign_pool, places[block], signs[slot])
        else:
            _take_rows(codebook[step - 1], places[block], last_deviation, last_rows)
        if has_bytes:
            _rows_to_bytes(rows, deviation, row_bytes, shift)
        _find_ancestors(ancestor, slot, n, step == 0, of_beam, distinct)
        for b in range(n):
            others[b] = ratio[b]
            if step:
                others[b] -= block_ratio[slot, distinct[of_beam[b]]]
        top = others[:n].max()
        then, now = offset[side[slot], slot], offset[1 - side[slot], slot]
        n_moved, is_of_bytes = 0, False
        for first in range(0, n, _CHUNK):
            end = min(n, first + _CHUNK)
            n_before = n_moved
            n_moved = _move_on(
                first,
                end,
                n_moved,
                step == 0,
                of_beam,
                distinct,
                extended[slot],
                then,
                now,
                last_rows,
                signs[slot],
                terms,
                own,
            )
            if has_bytes:
                _to_steps(n_before, n_moved, now, terms, deviation, steps, size, noise, pull[0])
            most_noise = np.float32(0.0)
            for b in range(first, end):
                # Only differences matter, and near zero float32 resolves them best.
                lead[b] = others[b] - top
                base[b] = lead[b] + own[of_beam[b]]
                most_noise = max(most_noise, noise[of_beam[b]])
            if most_noise <= max_noise:
                _pull_in_bytes(
                    first,
                    end,
                    of_beam,
                    pool_row,
                    steps,
                    size,
                    signs[slot],
                    deviation,
                    pull_bytes,
                    factor,
                )
                n_at_once = -(-(end - first) // BEAMS_AT_ONCE) * BEAMS_AT_ONCE
                out = product[first : first + n_at_once]
                _multiply_bytes(pull_bytes[:n_at_once], row_bytes, shift, factor, out)
                is_of_bytes = True
            else:
                _pull(first, end, of_beam, pool_row, now, signs[slot], terms, pull)
                np.dot(pull[: end - first], rows.T, product[first:end])
            note_best(product, base, quadratic, best_of_group, first, end)
        n_kept = select_best(
            product[:n], base, quadratic, best_of_group[:n], n_beams, parents[t], indices[t], score
        )
        if is_of_bytes:
            _weigh_chosen(
                now,
                signs[slot],
                rows,
                terms,
                of_beam,
                pool_row,
                base,
                quadratic,
                parents[t, :n_kept],
                indices[t, :n_kept],
                score,
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
