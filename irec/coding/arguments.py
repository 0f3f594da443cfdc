"""What callers give, in the one form that the coder takes; an InvalidParameterError otherwise."""

import operator
from typing import Any

import torch
from torch.distributions import Independent, Normal

from irec.errors import InvalidParameterError

_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def whole_number(value: Any, name: str) -> int:
    """Return an int: NumPy's integers wrap around, fractions and truth values are none.

    Args:
        value: As given.
        name: What the error calls it.
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        return operator.index(value)
    except TypeError as error:
        raise InvalidParameterError(f"{name} must be a whole number, not {value!r}.") from error


def as_normal(distribution: Any, name: str) -> Normal:
    """Return a diagonal Gaussian, which may be given as independent dimensions of one event.

    Args:
        distribution: As given.
        name: What the error calls it.
    """
    while isinstance(distribution, Independent):
        distribution = distribution.base_dist
    if not isinstance(distribution, Normal):
        raise InvalidParameterError(
            f"The {name} must be a Normal, not a {type(distribution).__name__}."
        )
    for part in (distribution.loc, distribution.scale):
        if part.dtype not in _DTYPES:
            raise InvalidParameterError(f"The {name} must hold real numbers, not {part.dtype}.")
    return distribution
