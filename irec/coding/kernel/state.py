"""What a search keeps of the step whose turn it is: arrays, made once and filled anew."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int8, Int32, UInt8

from irec.coding.kernel.compiling import inner
from irec.coding.kernel.products import BEAMS_AT_ONCE, tiles
from irec.coding.kernel.selection import GROUPS

CHUNK = 96
"""Beams whose scores are computed together: a multiple of those that are multiplied at once."""


class Step(NamedTuple):
    """What the step whose turn it is adds to a block.

    Attributes:
        slope: Posterior means m.
        curvature: q = 1/c - 1/v.
        drift: Sigma^2 m, by which c m grows.
        rows: Sigma E of the searched columns.
        last_rows: The same of the block's last step.
        rows_by_dim: The rows transposed, in tiles, where floats are multiplied.
        row_bytes: The rows in whole steps, where bytes are; see `multiply_bytes`.
        shift: As `multiply_bytes` wants it.
        quadratic: Sum_dims q (sigma E)^2 / 2 of each row.
    """

    slope: Float32[np.ndarray, " A"]
    curvature: Float32[np.ndarray, " A"]
    drift: Float32[np.ndarray, " A"]
    rows: Float32[np.ndarray, "R A"]
    last_rows: Float32[np.ndarray, "R A"]
    rows_by_dim: Float32[np.ndarray, "tiles A rows"]
    row_bytes: Int8[np.ndarray, "tiles quads rows 4"]
    shift: Int32[np.ndarray, " R"]
    quadratic: Float32[np.ndarray, " R"]


class Block(NamedTuple):
    """What is kept of the block whose turn it is, about the beams of then: when it had its last.

    Attributes:
        then: Sums before that, of the beams that had descendants.
        now: Receives d = S - c m of those that still have, in the order of `Scores.distinct`.
        extended: Of each beam of then, the row of `then` that it extends, with which row of the
            sign pool, and which candidate.
        signs: Of the searched columns.
    """

    then: Float32[np.ndarray, "B A"]
    now: Float32[np.ndarray, "B A"]
    extended: Int32[np.ndarray, "B 3"]
    signs: Int8[np.ndarray, "pool A"]


class Scores(NamedTuple):
    """The scores of one step's candidates, and what they are made of.

    Attributes:
        of_beam: Which of the ancestors that turn up is each beam's.
        distinct: These ancestors: which beams of then they are.
        own: Of each ancestor, sum_dims d (q d / 2 + m).
        steps: Its q d + m, in whole steps, where bytes are multiplied.
        size: Of these steps.
        noise: Deviation of what rounding to bytes does to its scores.
        lead: Of each beam, what other blocks contribute, less the most that they do.
        base: Lead and own together.
        pull: (q d + m) * sign, of a chunk of beams.
        pull_bytes: The same in whole steps.
        factor: What their products are in units of.
        product: Of beams and rows.
        best_of_group: See `select_best`.
    """

    of_beam: Int32[np.ndarray, " B"]
    distinct: Int32[np.ndarray, " B"]
    own: Float32[np.ndarray, " B"]
    steps: Int8[np.ndarray, "B A"]
    size: Float32[np.ndarray, " B"]
    noise: Float32[np.ndarray, " B"]
    lead: Float32[np.ndarray, " B"]
    base: Float32[np.ndarray, " B+4"]
    pull: Float32[np.ndarray, "chunk A"]
    pull_bytes: UInt8[np.ndarray, "chunk A"]
    factor: Float32[np.ndarray, " chunk"]
    product: Float32[np.ndarray, "B+4 R"]
    best_of_group: Float32[np.ndarray, "B+4 groups"]


@inner()
def empty_steps(n_rows: int, width: int) -> tuple[Step, Step]:
    """Return room for a step, and for another of which the first one's rows are the last rows."""
    rows = np.empty((n_rows, width), np.float32)
    last_rows = np.empty((n_rows, width), np.float32)
    return _empty_step(rows, last_rows), _empty_step(last_rows, rows)


@inner()
def _empty_step(rows: Float32[np.ndarray, "R A"], last_rows: Float32[np.ndarray, "R A"]) -> Step:
    n_rows, width = rows.shape
    n_tiles, n_rows_of_tile = tiles(n_rows)
    return Step(
        np.empty(width, np.float32),
        np.empty(width, np.float32),
        np.empty(width, np.float32),
        rows,
        last_rows,
        np.empty((n_tiles, width, n_rows_of_tile), np.float32),
        np.empty((n_tiles, width // 4, n_rows_of_tile, 4), np.int8),
        np.empty(n_rows, np.int32),
        np.empty(n_rows, np.float32),
    )


@inner()
def empty_scores(n_beams: int, n_rows: int, width: int) -> Scores:
    """Return room for scores."""
    return Scores(
        np.zeros(n_beams, np.int32),
        np.zeros(n_beams, np.int32),
        np.empty(n_beams, np.float32),
        np.empty((n_beams, width), np.int8),
        np.empty(n_beams, np.float32),
        np.full(n_beams, np.float32(np.inf)),
        np.empty(n_beams, np.float32),
        # Products come for some beams at once, real ones or not.
        np.zeros(n_beams + BEAMS_AT_ONCE, np.float32),
        np.zeros((CHUNK, width), np.float32),
        np.zeros((CHUNK, width), np.uint8),
        np.zeros(CHUNK, np.float32),
        np.empty((n_beams + BEAMS_AT_ONCE, n_rows), np.float32),
        np.empty((n_beams + BEAMS_AT_ONCE, min(GROUPS, n_rows)), np.float32),
    )
