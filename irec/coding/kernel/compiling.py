"""How the kernel is compiled by numba, and kept for later runs."""

import hashlib
import inspect
from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError
from types import CellType, FunctionType
from typing import Any

import numba

from irec.coding import shared_randomness

# Sums in any order and fused products; but infinities stay infinite.
_FAST = {"reassoc", "contract", "nsz", "arcp", "nnan"}
# What is computed twice must come out the same.
_EXACT = {"nsz", "nnan"}

_Compile = Callable[[Callable[..., Any]], Any]


def inner(exact: bool = False) -> _Compile:
    """Compile a function as a part of the functions that call it.

    Args:
        exact: Whether sums keep their order.
    """
    return lambda function: numba.njit(**_options(exact))(inspect.unwrap(function))


def outer(signature: str) -> _Compile:
    """Compile a function at import, or load what an earlier run has compiled."""

    def compile_function(function: Callable[..., Any]) -> Any:
        function = _with_sources(inspect.unwrap(function))  # tests have checks of types around it
        try:
            return numba.njit(signature, cache=True, **_options())(function)
        except (RuntimeError, OSError, EOFError, UnpicklingError):  # nowhere to keep it
            return numba.njit(signature, **_options())(function)

    return compile_function


def _options(exact: bool = False) -> dict[str, Any]:
    fastmath = _EXACT if exact else _FAST
    return {"nogil": True, "fastmath": fastmath, "error_model": "numpy"}


def _with_sources(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a function a closure, unused, over a digest of all that is compiled with it.

    What numba keeps is not used again once the function's own file, code or closure differs; of
    the files of the functions that it calls, numba knows nothing.
    """
    files = [*sorted(Path(__file__).parent.glob("*.py")), Path(shared_randomness.__file__)]
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    code = function.__code__.replace(co_freevars=("_digest_of_sources",))
    name, defaults = function.__name__, function.__defaults__
    closed = FunctionType(code, function.__globals__, name, defaults, (CellType(digest),))
    closed.__module__, closed.__qualname__ = function.__module__, function.__qualname__
    return closed
