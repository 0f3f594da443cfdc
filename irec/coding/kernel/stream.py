"""The search of one stream, step by step."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Float64, Int8, Int32, Int64, UInt64

from irec.coding.kernel.compiling import inner, outer
from irec.coding.kernel.scores import (
    fill_step,
    score_candidates,
    take_columns,
    take_rows,
    weigh_chosen,
)
from irec.coding.kernel.selection import select_best
from irec.coding.kernel.state import Block, Scores, empty_scores, empty_steps
from irec.coding.shared_randomness import extend_hash, sign_pool_row

_extend_hash, _sign_pool_row = inner()(extend_hash), inner()(sign_pool_row)


class Beams(NamedTuple):
    """The hypotheses about all blocks.

    Attributes:
        path_hash: Of the path of each.
        pool_row: Row of the sign pool that this picks.
        log_ratio: Over all blocks, without constants that all share.
        ancestor: Of each beam and slot, the beam of then, when the block in it had its last step.
    """

    path_hash: Int64[np.ndarray, " B"]
    pool_row: Int32[np.ndarray, " B"]
    log_ratio: Float64[np.ndarray, " B"]
    ancestor: Int32[np.ndarray, "B slots"]


class Slots(NamedTuple):
    """What is kept of the blocks that a search comes back to; see `Block`.

    Attributes:
        offset: `Block.then` and `Block.now` of each.
        side: Which of the two is then.
        extended: As `Block` has it.
        log_ratio: What each block contributes to the log-ratio of the beams of then.
        signs: As `Block` has them.
    """

    offset: Float32[np.ndarray, "2 slots B A"]
    side: Int64[np.ndarray, " slots"]
    extended: Int32[np.ndarray, "slots B 3"]
    log_ratio: Float64[np.ndarray, "slots B"]
    signs: Int8[np.ndarray, "slots pool A"]


@inner()
def _empty_beams(n_beams: int, n_slots: int) -> Beams:
    return Beams(
        np.zeros(n_beams, np.int64),
        np.zeros(n_beams, np.int32),
        np.zeros(n_beams),
        np.zeros((n_beams, n_slots), np.int32),
    )


@inner()
def _find_ancestors(
    ancestor: Int32[np.ndarray, "n slots"],
    slot: int,
    is_first: bool,
    of_beam: Int32[np.ndarray, " B"],
    distinct: Int32[np.ndarray, " B"],
) -> None:
    """Find the beams of then that today's descend from, and number them as they come."""
    if is_first:
        of_beam[: ancestor.shape[0]] = 0
        distinct[0] = 0
        return
    number = np.full(of_beam.size, -1, np.int32)
    n_distinct = 0
    for b in range(ancestor.shape[0]):
        then = ancestor[b, slot]
        if number[then] < 0:
            number[then] = n_distinct
            distinct[n_distinct] = then
            n_distinct += 1
        of_beam[b] = number[then]


@inner()
def _weigh_other_blocks(
    n: int,
    beams: Beams,
    block_ratio: Float64[np.ndarray, " B"],
    is_first: bool,
    scores: Scores,
    others: Float64[np.ndarray, " B"],
) -> None:
    """Fill `others`, the log-ratio without the block whose turn it is, and `scores.lead`."""
    for b in range(n):
        others[b] = beams.log_ratio[b]
        if not is_first:
            others[b] -= block_ratio[scores.distinct[scores.of_beam[b]]]
    top = others[:n].max()
    for b in range(n):
        # Only differences matter, and near zero float32 resolves them best.
        scores.lead[b] = others[b] - top


@inner()
def _extend(
    parents: Int32[np.ndarray, " kept"],
    indices: Int32[np.ndarray, " kept"],
    score: Float32[np.ndarray, " B"],
    others: Float64[np.ndarray, " B"],
    scores: Scores,
    beams: Beams,
    slot: int,
    slots: Slots,
    extended_beams: Beams,
) -> None:
    """Fill the beams that extend `beams` by one index each, and what is kept of their block."""
    n_slots = beams.ancestor.shape[1]
    for j in range(parents.size):
        p, i = parents[j], indices[j]
        slots.extended[slot, j, 0] = scores.of_beam[p]
        slots.extended[slot, j, 1] = beams.pool_row[p]
        slots.extended[slot, j, 2] = i
        slots.log_ratio[slot, j] = score[j] - scores.lead[p]
        extended_beams.log_ratio[j] = others[p] + slots.log_ratio[slot, j]
        extended_beams.path_hash[j] = _extend_hash(beams.path_hash[p], np.int64(i))
        for other in range(n_slots):
            extended_beams.ancestor[j, other] = beams.ancestor[p, other]
        extended_beams.ancestor[j, slot] = j
    for j in range(parents.size):
        extended_beams.pool_row[j] = _sign_pool_row(extended_beams.path_hash[j])
    slots.side[slot] = 1 - slots.side[slot]


@inner()
def _trace_back(
    parents: Int32[np.ndarray, "T B"], indices: Int32[np.ndarray, "T B"], beam: int
) -> Int64[np.ndarray, " T"]:
    """Return the path of the last step's beam of this number."""
    path = np.empty(parents.shape[0], np.int64)
    for t in range(parents.shape[0] - 1, -1, -1):
        path[t] = indices[t, beam]
        beam = parents[t, beam]
    return path


@outer(
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
        mean: Whitened posterior means of each block; A is a multiple of 4, and better of 16.
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
    slots = Slots(
        np.empty((2, n_slots, n_beams, width), np.float32),
        np.zeros(n_slots, np.int64),
        np.zeros((n_slots, n_beams, 3), np.int32),
        np.zeros((n_slots, n_beams)),
        np.empty((n_slots, sign_pool.shape[0], width), np.int8),
    )
    beams, extended_beams = _empty_beams(n_beams, n_slots), _empty_beams(n_beams, n_slots)
    parents = np.zeros((n_steps, n_beams), np.int32)
    indices = np.zeros((n_steps, n_beams), np.int32)
    step, other_step = empty_steps(n_rows, width)
    scores = empty_scores(n_beams, n_rows, width)
    score, others = np.empty(n_beams, np.float32), np.empty(n_beams)

    n = 1
    beams.path_hash[0] = first_hash
    beams.pool_row[0] = _sign_pool_row(first_hash)
    for t in range(n_steps):
        b, k = int(table[t, 0]), int(table[t, 1])
        slot = b if n_slots > 1 else 0
        is_first, deviation = k == 0, np.float32(math.sqrt(table[t, 2]))
        if n_slots == 1:  # then the last step was the block's too
            step, other_step = other_step, step
        take_rows(codebook[k], places[b], deviation, step.rows)
        if is_first:
            take_columns(sign_pool, places[b], slots.signs[slot])
        elif n_slots > 1:
            last_deviation = np.float32(math.sqrt(table[t, 4]))
            take_rows(codebook[k - 1], places[b], last_deviation, step.last_rows)
        fill_step(step, mean[b], squared_scale[b], table[t, 2], table[t, 3])
        side = slots.side[slot]
        block = Block(
            slots.offset[side, slot],
            slots.offset[1 - side, slot],
            slots.extended[slot],
            slots.signs[slot],
        )
        _find_ancestors(beams.ancestor[:n], slot, is_first, scores.of_beam, scores.distinct)
        _weigh_other_blocks(n, beams, slots.log_ratio[slot], is_first, scores, others)
        pool_row = beams.pool_row[:n]
        by_bytes = score_candidates(pool_row, is_first, deviation, max_noise, step, block, scores)
        n_kept = select_best(
            scores.product[:n],
            scores.base,
            step.quadratic,
            scores.best_of_group[:n],
            n_beams,
            parents[t],
            indices[t],
            score,
        )
        parent, index = parents[t, :n_kept], indices[t, :n_kept]
        if by_bytes:
            weigh_chosen(pool_row, parent, index, score, step, block, scores)
        _extend(parent, index, score, others, scores, beams, slot, slots, extended_beams)
        beams, extended_beams = extended_beams, beams
        n = n_kept
    best = np.argmax(beams.log_ratio[:n])
    return _trace_back(parents, indices, best), beams.log_ratio[best]
