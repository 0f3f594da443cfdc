"""Arrays out of pickles that are not trusted.

A pickle is a program that may call whatever it names. Here it may build numbers, strings, lists and
dictionaries; where it names NumPy it gets stand-ins that take nothing but the bytes of plain
numbers; any other name is refused before it is looked up.
"""

import pickle
from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np

from irec.errors import DataError


class _Numbers:
    """Stands in for `numpy.dtype`: plain numbers only, no objects and no records."""

    def __init__(self, name: str, *_: object) -> None:
        self.dtype = np.dtype(name)
        if self.dtype.kind not in "biuf":
            raise pickle.UnpicklingError(f"an array of {name!r}")

    def __setstate__(self, state: tuple) -> None:
        """Take the byte order; all else is said by the name."""
        self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    """Stands in for `numpy.ndarray`."""

    values: np.ndarray

    def __setstate__(self, state: tuple) -> None:
        """Take shape, kind of numbers, memory order and bytes, as NumPy writes them."""
        _, shape, numbers, is_fortran, raw = state
        flat = np.frombuffer(raw, numbers.dtype)
        self.values = flat.reshape(shape, order="F" if is_fortran else "C")


def _new_array(*_: object) -> _Array:
    """Stands in for NumPy's `_reconstruct`; what it is given says nothing yet."""
    return _Array()


def _latin1(text: str, encoding: str) -> bytes:
    """Stands in for `_codecs.encode`, through which old protocols send bytes."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"a string in {encoding!r}")
    return text.encode("latin1")


_ALLOWED: dict[tuple[str, str], Callable] = {
    ("numpy.core.multiarray", "_reconstruct"): _new_array,
    ("numpy._core.multiarray", "_reconstruct"): _new_array,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Numbers,
    ("_codecs", "encode"): _latin1,
}


class _ArrayUnpickler(pickle.Unpickler):
    """Looks nothing up but the stand-ins."""

    def find_class(self, module: str, name: str) -> Callable:
        """The stand-in for a global name."""
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it calls {module}.{name}") from None


def load_arrays(data: bytes, name: str) -> dict[str, np.ndarray]:
    """Read the arrays of a pickled dictionary.

    Args:
        data: the pickle, of any protocol up to 4.
        name: what error messages call it.

    Returns:
        Those entries of the dictionary that are arrays of numbers, read-only.

    Raises:
        DataError: damaged, not a dictionary, or it would run code.
    """
    try:
        contents: Any = _ArrayUnpickler(BytesIO(data)).load()
        return {key: item.values for key, item in contents.items() if isinstance(item, _Array)}
    # A damaged pickle does whatever its bytes happen to say.
    except Exception as error:
        raise DataError(f"{name}: not a pickle of arrays that is safe to read ({error})") from error
