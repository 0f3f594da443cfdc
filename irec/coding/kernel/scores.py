"""What the candidates of one step are worth: the sums of the beams, one product, and what it lacks.

A score is a log-ratio up to constants that all candidates of the step share.
"""

import numpy as np
from jaxtyping import Float32, Float64, Int8, Int32, UInt64

from irec.coding.kernel.compiling import inner
from irec.coding.kernel.products import (
    BEAMS_AT_ONCE,
    HAS_BYTE_PRODUCTS,
    ROWS_AT_ONCE,
    multiply_bytes,
    multiply_floats,
)
from irec.coding.kernel.state import CHUNK, Block, Scores, Step

# Bytes hold rows in this many steps a deviation (up to 4.2 deviations), and pulls in 127.
_ROW_STEPS, _PULL_STEPS = 30.0, 127.0


@inner()
def fill_step(
    step: Step,
    mean: Float64[np.ndarray, " A"],
    squared_scale: Float64[np.ndarray, " A"],
    variance: float,
    to_come: float,
) -> None:
    """Fill what a step, whose rows are there, knows of its block's posteriors.

    Args:
        step: Receives it.
        mean: Of the block's posteriors.
        squared_scale: Of these.
        variance: Of the step, sigma^2.
        to_come: Of the steps after it, 1 - c.
    """
    for a in range(mean.size):
        # 1 - c (1 - s^2), written so that nothing cancels: (1 - c) + c s^2.
        narrowing = to_come + (1.0 - to_come) * squared_scale[a]
        step.slope[a] = mean[a]
        step.curvature[a] = (squared_scale[a] - 1.0) / narrowing
        step.drift[a] = variance * mean[a]
    curvature, rows = step.curvature, step.rows
    for i in range(step.quadratic.size):
        total = np.float32(0.0)
        for a in range(mean.size):
            total += curvature[a] * rows[i, a] * rows[i, a]
        step.quadratic[i] = np.float32(0.5) * total


@inner()
def take_columns(
    table: Float32[np.ndarray, "R columns"] | Int8[np.ndarray, "R columns"],
    places: UInt64[np.ndarray, " A"],
    out: Float32[np.ndarray, "R A"] | Int8[np.ndarray, "R A"],
) -> None:
    """Fill `out` with the chosen columns."""
    for i in range(out.shape[0]):
        for a in range(out.shape[1]):
            out[i, a] = table[i, places[a]]


@inner()
def take_rows(
    codebook: Float32[np.ndarray, "R columns"],
    places: UInt64[np.ndarray, " A"],
    deviation: np.float32,
    rows: Float32[np.ndarray, "R A"],
) -> None:
    """Fill `rows` with the chosen columns of a step, sigma E."""
    take_columns(codebook, places, rows)
    for i in range(rows.shape[0]):
        for a in range(rows.shape[1]):
            rows[i, a] *= deviation


@inner()
def _move_on(
    first: int, end: int, n_moved: int, is_first: bool, step: Step, block: Block, scores: Scores
) -> int:
    """Bring the sums of the ancestors of the beams from `first` to `end` up to date.

    Where an ancestor turns up for the first time, number `n_moved`, its sums are what they were
    and the variable chosen last, less the drift.

    Returns:
        How many ancestors have turned up.
    """
    slope, curvature, drift, rows = step.slope, step.curvature, step.drift, step.last_rows
    then, now, signs, extended = block.then, block.now, block.signs, block.extended
    for b in range(first, end):
        if scores.of_beam[b] < n_moved:
            continue
        made = scores.distinct[n_moved]
        before, pool_row, index = extended[made, 0], extended[made, 1], extended[made, 2]
        row, side = index // 2, np.float32(1.0 if index % 2 == 0 else -1.0)
        for a in range(slope.size):
            if is_first:
                now[n_moved, a] = 0.0
            else:
                now[n_moved, a] = then[before, a] + side * signs[pool_row, a] * rows[row, a]
        total = np.float32(0.0)
        for a in range(slope.size):
            d = now[n_moved, a] - drift[a]
            now[n_moved, a] = d
            total += d * (curvature[a] * d + slope[a] + slope[a])
        scores.own[n_moved] = np.float32(0.5) * total
        n_moved += 1
    return n_moved


@inner()
def _pull(
    first: int,
    end: int,
    pool_row: Int32[np.ndarray, " B"],
    step: Step,
    block: Block,
    scores: Scores,
) -> None:
    """Fill `scores.pull` of the beams from `first` to `end`."""
    slope, curvature, now, signs = step.slope, step.curvature, block.now, block.signs
    pull = scores.pull
    for b in range(first, end):
        u, sign = scores.of_beam[b], pool_row[b]
        for a in range(slope.size):
            pull[b - first, a] = (curvature[a] * now[u, a] + slope[a]) * signs[sign, a]


@inner()
def rows_to_bytes(
    rows: Float32[np.ndarray, "R A"],
    deviation: np.float32,
    row_bytes: Int8[np.ndarray, "tiles quads rows 4"],
    shift: Int32[np.ndarray, " R"],
) -> None:
    """Fill `row_bytes` with the rows, in steps, and `shift`; see `multiply_bytes`."""
    steps_per_unit = np.float32(_ROW_STEPS) / deviation
    shift[:] = 0
    n_tiles, n_quads, n_rows, _ = row_bytes.shape
    for tile in range(n_tiles):
        first = tile * n_rows
        for quad in range(n_quads):
            for i in range(n_rows):
                total = np.int32(0)
                for part in range(4):
                    steps = rows[first + i, 4 * quad + part] * steps_per_unit
                    steps = min(max(steps, np.float32(-127.0)), np.float32(127.0))
                    rounded = np.int32(steps + np.float32(128.5)) - np.int32(128)
                    row_bytes[tile, quad, i, part] = rounded
                    total += rounded
                shift[first + i] -= 128 * total


@inner()
def _lay_out(
    rows: Float32[np.ndarray, "R A"], rows_by_dim: Float32[np.ndarray, "tiles A rows"]
) -> None:
    """Fill `rows_by_dim`; see `multiply_floats`."""
    n_tiles, n, n_rows = rows_by_dim.shape
    for tile in range(n_tiles):
        for a in range(n):
            for i in range(n_rows):
                rows_by_dim[tile, a, i] = rows[tile * n_rows + i, a]


@inner()
def _to_steps(
    first: int, end: int, deviation: np.float32, step: Step, block: Block, scores: Scores
) -> None:
    """Fill steps, size and noise of the ancestors from `first` to `end`."""
    slope, curvature, now, steps = step.slope, step.curvature, block.now, scores.steps
    pull = scores.pull[0]
    # Magnitudes ascend as their bits do, and processors find the largest integer sooner.
    bits, size_bits = pull.view(np.int32), scores.size.view(np.int32)
    for u in range(first, end):
        power, peak_bits = np.float32(0.0), np.int32(0)
        for a in range(pull.size):
            pull[a] = curvature[a] * now[u, a] + slope[a]
            power += pull[a] * pull[a]
        for a in range(pull.size):
            peak_bits = max(peak_bits, bits[a] & np.int32(0x7FFFFFFF))
        size_bits[u] = peak_bits
        size = max(scores.size[u], np.float32(1e-30)) / np.float32(_PULL_STEPS)
        steps_per_unit = np.float32(1.0) / size
        for a in range(pull.size):
            steps[u, a] = np.int32(pull[a] * steps_per_unit + np.float32(128.5)) - np.int32(128)
        scores.size[u] = size
        # A twelfth of the squared step, in each dimension.
        of_rows = power / np.float32(_ROW_STEPS**2)
        variance = (np.float32(pull.size) * size * size + of_rows) / np.float32(12.0)
        scores.noise[u] = deviation * np.sqrt(variance)


@inner()
def _most_noise(first: int, end: int, scores: Scores) -> np.float32:
    """Return the most that rounding may do to scores of the beams from `first` to `end`."""
    most = np.float32(0.0)
    for b in range(first, end):
        most = max(most, scores.noise[scores.of_beam[b]])
    return most


@inner()
def _pull_in_bytes(
    first: int,
    end: int,
    pool_row: Int32[np.ndarray, " B"],
    deviation: np.float32,
    block: Block,
    scores: Scores,
) -> None:
    """Fill `scores.pull_bytes` and `factor` of the beams from `first` to `end`."""
    steps, signs, pull = scores.steps, block.signs, scores.pull_bytes
    for b in range(first, end):
        u, sign = scores.of_beam[b], pool_row[b]
        for a in range(pull.shape[1]):
            pull[b - first, a] = np.uint8(steps[u, a] * signs[sign, a]) ^ np.uint8(128)
        scores.factor[b - first] = scores.size[u] * deviation / np.float32(_ROW_STEPS)


@inner()
def score_candidates(
    pool_row: Int32[np.ndarray, " n"],
    is_first: bool,
    deviation: np.float32,
    max_noise: float,
    step: Step,
    block: Block,
    scores: Scores,
) -> bool:
    """Fill base, product and best of group of all beams.

    Args:
        pool_row: Row of the sign pool that each beam flips candidates with.
        is_first: Whether it is the block's first step.
        deviation: Of the step's variables, sigma.
        max_noise: Deviation, in nats, of what rounding may do to scores; more than that and
            floats are multiplied.
        step: The step.
        block: The block.
        scores: Lead, of_beam and distinct are known; receives the rest.

    Returns:
        Whether some products are those of bytes.
    """
    n, n_rows = pool_row.size, step.rows.shape[0]
    may_be_bytes = HAS_BYTE_PRODUCTS and max_noise > 0.0 and n_rows % ROWS_AT_ONCE == 0
    if may_be_bytes:
        rows_to_bytes(step.rows, deviation, step.row_bytes, step.shift)
    n_moved, some_bytes, some_floats = 0, False, False
    for first in range(0, n, CHUNK):
        end = min(n, first + CHUNK)
        n_at_once = -(-(end - first) // BEAMS_AT_ONCE) * BEAMS_AT_ONCE
        base, product, best_of_group = (
            scores.base[first : first + n_at_once],
            scores.product[first : first + n_at_once],
            scores.best_of_group[first : first + n_at_once],
        )
        n_before = n_moved
        n_moved = _move_on(first, end, n_moved, is_first, step, block, scores)
        for b in range(first, end):
            base[b - first] = scores.lead[b] + scores.own[scores.of_beam[b]]
        by_bytes = False
        # A condition by itself: numba leaves out what it never comes to.
        if HAS_BYTE_PRODUCTS:
            if may_be_bytes:
                _to_steps(n_before, n_moved, deviation, step, block, scores)
                by_bytes = _most_noise(first, end, scores) <= max_noise
            if by_bytes:
                some_bytes = True
                _pull_in_bytes(first, end, pool_row, deviation, block, scores)
                multiply_bytes(
                    scores.pull_bytes[:n_at_once],
                    step.row_bytes,
                    step.shift,
                    scores.factor,
                    base,
                    step.quadratic,
                    product,
                    best_of_group,
                )
        if not by_bytes:
            if not some_floats:
                some_floats = True
                _lay_out(step.rows, step.rows_by_dim)
            _pull(first, end, pool_row, step, block, scores)
            multiply_floats(
                scores.pull[:n_at_once],
                step.rows_by_dim,
                base,
                step.quadratic,
                product,
                best_of_group,
            )
    return some_bytes


@inner()
def weigh_chosen(
    pool_row: Int32[np.ndarray, " n"],
    parent: Int32[np.ndarray, " chosen"],
    index: Int32[np.ndarray, " chosen"],
    score: Float32[np.ndarray, " chosen"],
    step: Step,
    block: Block,
    scores: Scores,
) -> None:
    """Replace scores that come from bytes."""
    slope, curvature, rows, now, signs = (
        step.slope, step.curvature, step.rows, block.now, block.signs
    )  # fmt: skip
    for j in range(parent.size):
        p, chosen = parent[j], index[j] // 2
        u, sign, product = scores.of_beam[p], pool_row[p], np.float32(0.0)
        for a in range(slope.size):
            product += (curvature[a] * now[u, a] + slope[a]) * signs[sign, a] * rows[chosen, a]
        shared = scores.base[p] + step.quadratic[chosen]
        score[j] = shared + (product if index[j] % 2 == 0 else -product)
