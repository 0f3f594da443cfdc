"""Vectors of 16 numbers, for what the compiler does not find by itself: helpers to write its code.

They take addresses; numba's ``array.ctypes.data``.
"""

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.registry import cpu_target
from numba.extending import intrinsic

FEATURES: list[str] = cpu_target.target_context.codegen().magic_tuple()[2].split(",")
"""What numba may use of the processor, as ``"+avx512f"``."""

LANES = 16

INT32, INT64, FLOAT = ir.IntType(32), ir.IntType(64), ir.FloatType()
INTS, FLOATS = ir.VectorType(INT32, LANES), ir.VectorType(FLOAT, LANES)


def at(builder: ir.IRBuilder, base: ir.Value, n_bytes: ir.Value | int, kind: ir.Type) -> ir.Value:
    """Return a pointer, so many bytes behind an address."""
    offset = INT64(n_bytes) if isinstance(n_bytes, int) else n_bytes
    return builder.inttoptr(builder.add(base, offset), kind.as_pointer())


def load(builder: ir.IRBuilder, base: ir.Value, n_bytes: ir.Value | int, kind: ir.Type) -> ir.Value:
    """Return what lies there, aligned to numbers of 4 bytes."""
    return builder.load(at(builder, base, n_bytes, kind), align=4)


def everywhere(builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
    """Return a vector of equal numbers."""
    kind = ir.VectorType(value.type, LANES)
    undefined = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(undefined, value, INT32(0))
    lanes = ir.Constant(ir.VectorType(INT32, LANES), [0] * LANES)
    return builder.shuffle_vector(first, undefined, lanes)


def call(builder: ir.IRBuilder, name: str, *arguments: ir.Value) -> ir.Value:
    """Return what one of LLVM's own functions gives, of its arguments' type."""
    kind = ir.FunctionType(arguments[0].type, [argument.type for argument in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)


def best_score(
    builder: ir.IRBuilder, base: ir.Value, quadratic: ir.Value, product: ir.Value
) -> ir.Value:
    """Return the better score of each of 16 rows, to the bit the same wherever it is asked for."""
    absolute = call(builder, "llvm.fabs.v16f32", product)
    return builder.fadd(builder.fadd(base, quadratic), absolute)


def _mask(builder: ir.IRBuilder, values: ir.Value, bound: ir.Value) -> ir.Value:
    """Return a whole number whose bits tell which values reach the bound, the first lowest."""
    reaches = builder.fcmp_ordered(">=", values, everywhere(builder, bound))
    return builder.zext(builder.bitcast(reaches, ir.IntType(LANES)), INT64)


def _make_values_reaching(_: Any, values: Any, bound: Any) -> Any:
    """Tell numba how to find which of 16 values reach a bound."""

    def generate(_: Any, builder: ir.IRBuilder, __: Any, arguments: Any) -> ir.Value:
        address, bound = arguments
        return _mask(builder, load(builder, address, 0, FLOATS), bound)

    return types.int64(types.uintp, types.float32), generate


def _make_scores_reaching(_: Any, product: Any, quadratic: Any, base: Any, bound: Any) -> Any:
    """Tell numba how to find which of 16 rows have a score that reaches a bound."""

    def generate(_: Any, builder: ir.IRBuilder, __: Any, arguments: Any) -> ir.Value:
        product, quadratic, base, bound = arguments
        of_rows = (load(builder, address, 0, FLOATS) for address in (quadratic, product))
        score = best_score(builder, everywhere(builder, base), *of_rows)
        return _mask(builder, score, bound)

    return types.int64(types.uintp, types.uintp, types.float32, types.float32), generate


def _make_lowest_bit(_: Any, mask: Any) -> Any:
    """Tell numba how to find the number of the lowest bit that is set; of none, 64."""

    def generate(_: Any, builder: ir.IRBuilder, __: Any, arguments: Any) -> ir.Value:
        return builder.cttz(arguments[0], ir.IntType(1)(0))

    return types.int64(types.int64), generate


values_reaching: Any = intrinsic(_make_values_reaching)
scores_reaching: Any = intrinsic(_make_scores_reaching)
lowest_bit: Any = intrinsic(_make_lowest_bit)
