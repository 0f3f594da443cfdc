"""Matrix products for the compiled search, of floats, and of bytes at four times the speed.

Processors with VNNI (Intel since 2019, AMD since 2022) multiply 64 pairs of bytes and add them up
in one instruction. Which of its candidates a search keeps hardly depends on the digits that bytes
lack; :mod:`irec.coding.kernel.scores` decides where, and weighs what it keeps in floats. Elsewhere
it multiplies floats.

A tile, some rows of one matrix times some of the other, is summed up in registers, and the best
scores are noted before it leaves them: what a library for linear algebra would not do.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float32, Int8, Int32, UInt8
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from irec.coding.kernel.compiling import inner
from irec.coding.kernel.selection import note_best
from irec.coding.kernel.vectors import (
    FEATURES,
    FLOAT,
    FLOATS,
    INT64,
    INTS,
    LANES,
    at,
    best_score,
    call,
    everywhere,
    load,
)

HAS_BYTE_PRODUCTS: bool = "+avx512vnni" in FEATURES
"""Whether the processor has the instruction, and numba may use it."""

BEAMS_AT_ONCE = 4
# As many vectors as registers hold the sums of.
_N_VECTORS = 4 if "+avx512f" in FEATURES else 1
ROWS_AT_ONCE = _N_VECTORS * LANES
_MULTIPLY_AND_ADD = "llvm.x86.avx512.vpdpbusd.512"


def _emit_tile(
    builder: ir.IRBuilder,
    arguments: Sequence[ir.Value],
    begin: list[ir.Value],
    multiply_and_add: Callable[[ir.Value, ir.Value, ir.Value], ir.Value],
    finish: Callable[[ir.Value, int], ir.Value],
) -> None:
    """Write the code that multiplies some beams by some rows, and notes their best scores.

    Args:
        builder: Takes the code.
        arguments: The n that products sum over, how many rows the matrix has, and addresses: of the
            first beam, ``[beams, n]``, of the first row, ``[n, rows]``, and of where products go,
            ``[beams, rows]``, all of numbers of 4 bytes, of which some may be one; then of base,
            quadratic and best of group as `select_best` has them.
        begin: Vectors of what sums begin with.
        multiply_and_add: Gives sum + beam * row.
        finish: Gives the floats of a sum, and of the number of its beam.
    """
    n, n_rows, beams, rows, out, base, quadratic, best_of_group = arguments
    kind = begin[0].type
    tile = [[cgutils.alloca_once(builder, kind) for _ in begin] for _ in range(BEAMS_AT_ONCE)]
    for sums in tile:
        for sum_, first in zip(sums, begin, strict=True):
            builder.store(first, sum_)
    row_bytes, beam_bytes = builder.mul(n_rows, INT64(4)), builder.mul(n, INT64(4))
    with cgutils.for_range(builder, n) as loop:
        here = builder.add(rows, builder.mul(loop.index, row_bytes))
        factors = [load(builder, here, 64 * v, kind) for v in range(len(begin))]
        place = builder.mul(loop.index, INT64(4))
        for b, sums in enumerate(tile):
            own = builder.add(beams, builder.mul(beam_bytes, INT64(b)))
            beam = everywhere(builder, load(builder, own, place, kind.element))
            for sum_, factor in zip(sums, factors, strict=True):
                builder.store(multiply_and_add(builder.load(sum_), beam, factor), sum_)
    of_row = [load(builder, quadratic, 64 * v, FLOATS) for v in range(len(begin))]
    for b, sums in enumerate(tile):
        line = builder.add(out, builder.mul(row_bytes, INT64(b)))
        own = everywhere(builder, load(builder, base, 4 * b, FLOAT))
        best = load(builder, best_of_group, 64 * b, FLOATS)
        for v, sum_ in enumerate(sums):
            product = finish(builder.load(sum_), b)
            builder.store(product, at(builder, line, 64 * v, FLOATS), align=4)
            score = best_score(builder, own, of_row[v], product)
            best = builder.select(builder.fcmp_ordered(">", best, score), best, score)
        builder.store(best, at(builder, best_of_group, 64 * b, FLOATS), align=4)


def _make_tile_of_floats(
    _: Any, n: Any, n_rows: Any, beams: Any, rows: Any, out: Any, base: Any, quadratic: Any,
    best_of_group: Any,
) -> Any:  # fmt: skip
    """Tell numba how to multiply 4 beams by some rows; see :func:`_emit_tile`."""

    def generate(_: Any, builder: ir.IRBuilder, __: Any, arguments: Any) -> None:
        _emit_tile(
            builder,
            arguments,
            [ir.Constant(FLOATS, [0.0] * LANES)] * _N_VECTORS,
            lambda sum_, beam, row: call(builder, "llvm.fmuladd.v16f32", beam, row, sum_),
            lambda sum_, _: sum_,
        )

    return types.void(*[types.int64] * 2, *[types.uintp] * 6), generate


def _make_tile_of_bytes(
    _: Any, n_quads: Any, n_rows: Any, beams: Any, rows: Any, out: Any, base: Any, quadratic: Any,
    best_of_group: Any, shift: Any, factor: Any,
) -> Any:  # fmt: skip
    """Tell numba how to multiply 4 beams by 64 rows of bytes; see :func:`_emit_tile`."""

    def generate(_: Any, builder: ir.IRBuilder, __: Any, arguments: Any) -> None:
        if not HAS_BYTE_PRODUCTS:
            return  # what is never called, and could not be compiled
        *arguments, shift, factor = arguments

        def finish(sum_: ir.Value, b: int) -> ir.Value:
            own = everywhere(builder, load(builder, factor, 4 * b, FLOAT))
            return builder.fmul(builder.sitofp(sum_, FLOATS), own)

        _emit_tile(
            builder,
            arguments,
            [load(builder, shift, 64 * v, INTS) for v in range(_N_VECTORS)],
            lambda sum_, beam, row: call(builder, _MULTIPLY_AND_ADD, sum_, beam, row),
            finish,
        )

    return types.void(*[types.int64] * 2, *[types.uintp] * 8), generate


_multiply_tile_of_floats: Any = intrinsic(_make_tile_of_floats)
_multiply_tile_of_bytes: Any = intrinsic(_make_tile_of_bytes)


@inner()
def multiply_floats(
    beams: Float32[np.ndarray, "beams A"],
    rows: Float32[np.ndarray, "A R"],
    base: Float32[np.ndarray, " beams"],
    quadratic: Float32[np.ndarray, " R"],
    out: Float32[np.ndarray, "beams R"],
    best_of_group: Float32[np.ndarray, "beams groups"],
) -> None:
    """Multiply beams, a multiple of 4, by rows, as many as you like.

    Args:
        beams: The beams.
        rows: The rows.
        base: Of each beam; see `select_best`.
        quadratic: Of each row.
        out: Receives products.
        best_of_group: Receives the best scores of groups.
    """
    n, n_rows = rows.shape
    if n_rows % ROWS_AT_ONCE:
        out[:] = 0.0
        for b in range(beams.shape[0]):
            for a in range(n):
                for i in range(n_rows):
                    out[b, i] += beams[b, a] * rows[a, i]
        note_best(out, base, quadratic, best_of_group)
        return
    best_of_group[:] = -np.inf
    for b in range(0, beams.shape[0], BEAMS_AT_ONCE):
        for i in range(0, n_rows, ROWS_AT_ONCE):
            _multiply_tile_of_floats(
                n,
                n_rows,
                beams[b].ctypes.data,
                rows[0, i:].ctypes.data,
                out[b, i:].ctypes.data,
                base[b:].ctypes.data,
                quadratic[i:].ctypes.data,
                best_of_group[b].ctypes.data,
            )


@inner()
def multiply_bytes(
    beams: UInt8[np.ndarray, "beams quads*4"],
    rows: Int8[np.ndarray, "quads R 4"],
    shift: Int32[np.ndarray, " R"],
    factor: Float32[np.ndarray, " beams"],
    base: Float32[np.ndarray, " beams"],
    quadratic: Float32[np.ndarray, " R"],
    out: Float32[np.ndarray, "beams R"],
    best_of_group: Float32[np.ndarray, "beams 16"],
) -> None:
    """Multiply beams, a multiple of 4, by rows, a multiple of 64.

    Args:
        beams: With 128 added to each number, which must then be positive.
        rows: Four numbers of each side by side.
        shift: -128 times the sum of each row.
        factor: What the products of each beam are multiplied by.
        base: Of each beam; see `select_best`.
        quadratic: Of each row.
        out: Receives products.
        best_of_group: Receives the best scores of groups.
    """
    n_quads, n_rows = rows.shape[0], rows.shape[1]
    best_of_group[:] = -np.inf
    for b in range(0, beams.shape[0], BEAMS_AT_ONCE):
        for i in range(0, n_rows, ROWS_AT_ONCE):
            _multiply_tile_of_bytes(
                n_quads,
                n_rows,
                beams[b].ctypes.data,
                rows[0, i].ctypes.data,
                out[b, i:].ctypes.data,
                base[b:].ctypes.data,
                quadratic[i:].ctypes.data,
                best_of_group[b].ctypes.data,
                shift[i:].ctypes.data,
                factor[b:].ctypes.data,
            )
