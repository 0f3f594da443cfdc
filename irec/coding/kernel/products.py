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

# As many beams and vectors of rows as registers hold the sums of.
BEAMS_AT_ONCE, _N_VECTORS = (4, 4) if "+avx512f" in FEATURES else (6, 1)
ROWS_AT_ONCE = _N_VECTORS * LANES


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
        arguments: The n that products sum over, how many rows there are, and addresses: of the
            first beam, ``[beams, n]``, of the tile's rows, ``[n, rows of a tile]``, and of where
            products go, ``[beams, rows]``, all of numbers of 4 bytes, of which some may be one;
            then of base, quadratic and best of group as `select_best` has them.
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
        here = builder.add(rows, builder.mul(loop.index, INT64(64 * len(begin))))
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
    """Tell numba how to multiply some beams by some rows; see :func:`_emit_tile`."""

    def generate(_: Any, builder: ir.IRBuilder, __: Any, arguments: Any) -> None:
        _emit_tile(
            builder,
            arguments,
            [ir.Constant(FLOATS, [0.0] * LANES)] * _N_VECTORS,
            lambda sum_, beam, row: call(builder, "llvm.fmuladd.v16f32", beam, row, sum_),
            lambda sum_, _: sum_,
        )

    return types.void(*[types.int64] * 2, *[types.uintp] * 6), generate


def _add_products_of_bytes(
    builder: ir.IRBuilder, sum_: ir.Value, beam: ir.Value, row: ir.Value
) -> ir.Value:
    """Add four products to each number of a sum, of unsigned bytes and signed ones."""
    if HAS_BYTE_PRODUCTS:
        return call(builder, "llvm.x86.avx512.vpdpbusd.512", sum_, beam, row)
    # What no search uses, as floats are faster; but tests can call it anywhere.
    for place in (0, 8, 16, 24):
        shift, top = (ir.Constant(INTS, [n] * LANES) for n in (24 - place, 24))
        of_beam = builder.lshr(builder.shl(beam, shift), top)
        of_row = builder.ashr(builder.shl(row, shift), top)
        sum_ = builder.add(sum_, builder.mul(of_beam, of_row))
    return sum_


def _make_tile_of_bytes(
    _: Any, n_quads: Any, n_rows: Any, beams: Any, rows: Any, out: Any, base: Any, quadratic: Any,
    best_of_group: Any, shift: Any, factor: Any,
) -> Any:  # fmt: skip
    """Tell numba how to multiply some beams by some rows, of bytes; see :func:`_emit_tile`."""

    def generate(_: Any, builder: ir.IRBuilder, __: Any, arguments: Any) -> None:
        *arguments, shift, factor = arguments

        def finish(sum_: ir.Value, b: int) -> ir.Value:
            own = everywhere(builder, load(builder, factor, 4 * b, FLOAT))
            return builder.fmul(builder.sitofp(sum_, FLOATS), own)

        _emit_tile(
            builder,
            arguments,
            [load(builder, shift, 64 * v, INTS) for v in range(_N_VECTORS)],
            lambda sum_, beam, row: _add_products_of_bytes(builder, sum_, beam, row),
            finish,
        )

    return types.void(*[types.int64] * 2, *[types.uintp] * 8), generate


_multiply_tile_of_floats: Any = intrinsic(_make_tile_of_floats)
_multiply_tile_of_bytes: Any = intrinsic(_make_tile_of_bytes)


@inner()
def tiles(n_rows: int) -> tuple[int, int]:
    """Return how many tiles rows are laid out in, and how many rows a tile has."""
    if n_rows % ROWS_AT_ONCE:
        return 1, n_rows
    return n_rows // ROWS_AT_ONCE, ROWS_AT_ONCE


@inner(exact=True)
def multiply_floats(
    beams: Float32[np.ndarray, "beams A"],
    rows: Float32[np.ndarray, "tiles A rows"],
    base: Float32[np.ndarray, " beams"],
    quadratic: Float32[np.ndarray, " R"],
    out: Float32[np.ndarray, "beams R"],
    best_of_group: Float32[np.ndarray, "beams groups"],
) -> None:
    """Multiply beams, a multiple of those at once, by rows, as many as you like.

    Args:
        beams: The beams.
        rows: The rows, in tiles.
        base: Of each beam; see `select_best`.
        quadratic: Of each row.
        out: Receives products.
        best_of_group: Receives the best scores of groups.
    """
    n_tiles, n, n_rows = rows.shape
    if n_rows % ROWS_AT_ONCE:
        out[:] = 0.0
        for b in range(beams.shape[0]):
            for a in range(n):
                for i in range(n_rows):
                    out[b, i] += beams[b, a] * rows[0, a, i]
        note_best(out, base, quadratic, best_of_group)
        return
    best_of_group[:] = -np.inf
    for tile in range(n_tiles):
        first = tile * ROWS_AT_ONCE
        for b in range(0, beams.shape[0], BEAMS_AT_ONCE):
            _multiply_tile_of_floats(
                n,
                out.shape[1],
                beams[b].ctypes.data,
                rows[tile, 0].ctypes.data,
                out[b, first:].ctypes.data,
                base[b:].ctypes.data,
                quadratic[first:].ctypes.data,
                best_of_group[b].ctypes.data,
            )


@inner(exact=True)
def multiply_bytes(
    beams: UInt8[np.ndarray, "beams quads*4"],
    rows: Int8[np.ndarray, "tiles quads rows 4"],
    shift: Int32[np.ndarray, " R"],
    factor: Float32[np.ndarray, " beams"],
    base: Float32[np.ndarray, " beams"],
    quadratic: Float32[np.ndarray, " R"],
    out: Float32[np.ndarray, "beams R"],
    best_of_group: Float32[np.ndarray, "beams 16"],
) -> None:
    """Multiply beams by rows, multiples of those at once.

    Args:
        beams: With 128 added to each number, which must then be positive.
        rows: In tiles, four numbers of each side by side.
        shift: -128 times the sum of each row.
        factor: What the products of each beam are multiplied by.
        base: Of each beam; see `select_best`.
        quadratic: Of each row.
        out: Receives products.
        best_of_group: Receives the best scores of groups.
    """
    best_of_group[:] = -np.inf
    for tile in range(rows.shape[0]):
        first = tile * ROWS_AT_ONCE
        for b in range(0, beams.shape[0], BEAMS_AT_ONCE):
            _multiply_tile_of_bytes(
                rows.shape[1],
                out.shape[1],
                beams[b].ctypes.data,
                rows[tile, 0].ctypes.data,
                out[b, first:].ctypes.data,
                base[b:].ctypes.data,
                quadratic[first:].ctypes.data,
                best_of_group[b].ctypes.data,
                shift[first:].ctypes.data,
                factor[b:].ctypes.data,
            )
