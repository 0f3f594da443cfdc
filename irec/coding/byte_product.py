"""A matrix product of bytes, for the compiled search: four times as fast as one of floats.

Processors with VNNI (Intel since 2019, AMD since 2022) multiply 64 pairs of bytes and add them up
in one instruction. Which of its candidates a search keeps hardly depends on the digits that bytes
lack; :mod:`irec.coding.kernel` decides where, and weighs what it keeps in floats. Elsewhere it
multiplies floats.
"""

from typing import Any

import numpy as np
from jaxtyping import Float32, Int8, Int32, UInt8
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.registry import cpu_target
from numba.extending import intrinsic

ROWS_AT_ONCE = 64
BEAMS_AT_ONCE = 4
HAS_BYTE_PRODUCTS: bool = "+avx512vnni" in cpu_target.target_context.codegen().magic_tuple()[
    2
].split(",")
"""Whether the processor has the instruction, and numba may use it."""

_INT32, _INT64, _FLOAT = ir.IntType(32), ir.IntType(64), ir.FloatType()
_LANES = 16
_INTS, _FLOATS = ir.VectorType(_INT32, _LANES), ir.VectorType(_FLOAT, _LANES)
_N_VECTORS = ROWS_AT_ONCE // _LANES


def _make_tile(
    _: Any, pulls: Any, rows: Any, shift: Any, factor: Any, out: Any, n_quads: Any, n_rows: Any
) -> Any:
    """Tell numba how to multiply 4 beams by 64 rows, at addresses; see :func:`multiply_bytes`."""

    def generate(_: Any, builder: ir.IRBuilder, __: Any, arguments: Any) -> None:
        if not HAS_BYTE_PRODUCTS:
            return  # what is never called, and could not be compiled
        pulls, rows, shift, factor, out, n_quads, n_rows = arguments

        def at(base: ir.Value, n_bytes: ir.Value | int, kind: ir.Type) -> ir.Value:
            offset = _INT64(n_bytes) if isinstance(n_bytes, int) else n_bytes
            return builder.inttoptr(builder.add(base, offset), kind.as_pointer())

        def everywhere(value: ir.Value, kind: ir.VectorType) -> ir.Value:
            undefined = ir.Constant(kind, ir.Undefined)
            first = builder.insert_element(undefined, value, _INT32(0))
            lanes = ir.Constant(ir.VectorType(_INT32, _LANES), [0] * _LANES)
            return builder.shuffle_vector(first, undefined, lanes)

        multiply_and_add = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(_INTS, [_INTS, _INTS, _INTS]),
            "llvm.x86.avx512.vpdpbusd.512",
        )
        tile = [
            [cgutils.alloca_once(builder, _INTS) for _ in range(_N_VECTORS)]
            for _ in range(BEAMS_AT_ONCE)
        ]
        for v in range(_N_VECTORS):
            begin = builder.load(at(shift, 64 * v, _INTS), align=4)
            for sums in tile:
                builder.store(begin, sums[v])
        row_bytes, beam_bytes = builder.mul(n_rows, _INT64(4)), builder.mul(n_quads, _INT64(4))
        with cgutils.for_range(builder, n_quads) as loop:
            here = builder.add(rows, builder.mul(loop.index, row_bytes))
            quads = [builder.load(at(here, 64 * v, _INTS), align=4) for v in range(_N_VECTORS)]
            for b, sums in enumerate(tile):
                beam = builder.add(pulls, builder.mul(beam_bytes, _INT64(b)))
                offset = builder.mul(loop.index, _INT64(4))
                pull = everywhere(builder.load(at(beam, offset, _INT32), align=4), _INTS)
                for sum_, quad in zip(sums, quads, strict=True):
                    more = builder.call(multiply_and_add, [builder.load(sum_), pull, quad])
                    builder.store(more, sum_)
        for b, sums in enumerate(tile):
            own_factor = everywhere(builder.load(at(factor, 4 * b, _FLOAT), align=4), _FLOATS)
            line = builder.add(out, builder.mul(row_bytes, _INT64(b)))
            for v, sum_ in enumerate(sums):
                product = builder.fmul(builder.sitofp(builder.load(sum_), _FLOATS), own_factor)
                builder.store(product, at(line, 64 * v, _FLOATS), align=4)

    return types.void(*[types.uintp] * 5, types.int64, types.int64), generate


_multiply_tile: Any = intrinsic(_make_tile)


def multiply_bytes(
    pulls: UInt8[np.ndarray, "beams quads*4"],
    rows: Int8[np.ndarray, "quads R 4"],
    shift: Int32[np.ndarray, " R"],
    factor: Float32[np.ndarray, " beams"],
    out: Float32[np.ndarray, "beams R"],
) -> None:
    """Fill `out` with the products of beams and rows; to be compiled.

    Args:
        pulls: A multiple of 4 beams, with 128 added to each number, which must then be positive.
        rows: A multiple of 64, four numbers of each side by side.
        shift: -128 times the sum of each row.
        factor: What the products of each beam are multiplied by.
        out: Receives them.
    """
    n_quads, n_rows = rows.shape[0], rows.shape[1]
    for b in range(0, pulls.shape[0], BEAMS_AT_ONCE):
        for i in range(0, n_rows, ROWS_AT_ONCE):
            _multiply_tile(
                pulls[b].ctypes.data,
                rows[0, i].ctypes.data,
                shift[i:].ctypes.data,
                factor[b:].ctypes.data,
                out[b, i:].ctypes.data,
                n_quads,
                n_rows,
            )
