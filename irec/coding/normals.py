"""Standard normal numbers from 16-bit integers, by a table that is the same on every machine.

The quantile function is Wichura's AS 241 (Applied Statistics 37, 1988) in additions,
multiplications, divisions and square roots alone, which IEEE 754 rounds in one way only; its
logarithm is a series of our own, as the last bit of ``math.log`` depends on the C library.
"""

import math
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float32, Int64
from numpy.typing import NDArray
from torch import Tensor

INDEX_BITS = 16
_N_ENTRIES = 1 << INDEX_BITS
_LN2 = 0.6931471805599453

_Array = NDArray[np.float64]

# AS 241, PPND16: numerator and denominator of the three ranges, constant term first.
_CENTRE = (
    (3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3,
     1.3731693765509461125e4, 4.5921953931549871457e4, 6.7265770927008700853e4,
     3.3430575583588128105e4, 2.5090809287301226727e3),
    (1.0, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3,
     2.1213794301586595867e4, 3.9307895800092710610e4, 2.8729085735721942674e4,
     5.2264952788528545610e3),
)  # fmt: skip
_TAIL = (
    (1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0,
     3.64784832476320460504e0, 1.27045825245236838258e0, 2.41780725177450611770e-1,
     2.27238449892691845833e-2, 7.74545014278341407640e-4),
    (1.0, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1,
     1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4,
     1.05075007164441684324e-9),
)  # fmt: skip


@lru_cache(maxsize=8)
def normal_table(device: torch.device) -> Float32[Tensor, " 65536"]:
    """Return the table: entry j is Phi^-1((j + 1/2) / 2^16), scaled to variance 1.

    Args:
        device: Where the table is wanted; one copy per device is kept. Do not write into it.

    Returns:
        65536 increasing float32 numbers, antisymmetric about the middle to the bit.
    """
    distance = (np.arange(_N_ENTRIES // 2) + 0.5) / _N_ENTRIES  # of p from 1/2; exact
    upper = _upper_quantile(distance)
    # fsum is exact, while the order in which NumPy adds depends on the machine's vector length.
    variance = 2.0 * math.fsum((upper * upper).tolist()) / _N_ENTRIES
    half = (upper / math.sqrt(variance)).astype(np.float32)
    return torch.from_numpy(np.concatenate([-half[::-1], half])).to(device)


def normals_from_words(words: Int64[Tensor, " 4 *shape"]) -> Float32[Tensor, " *shape 8"]:
    """Turn the four words of each Philox call into eight normal numbers, low halves first."""
    halves = torch.cat([words & (_N_ENTRIES - 1), words >> INDEX_BITS])
    table = normal_table(words.device)
    return table[halves].movedim(0, -1)


def _upper_quantile(distance: _Array) -> _Array:
    """Return Phi^-1(1/2 + distance) for distances in (0, 1/2 - 2^-17]."""
    centre = distance * _ratio(_CENTRE, 0.180625 - distance * distance)
    tail = _ratio(_TAIL, np.sqrt(-_log(0.5 - distance)) - 1.6)
    return np.where(distance <= 0.425, centre, tail)


def _ratio(coefficients: tuple[tuple[float, ...], tuple[float, ...]], x: _Array) -> _Array:
    numerator, denominator = (np.zeros_like(x), np.zeros_like(x))
    for upper, lower in zip(*map(reversed, coefficients), strict=True):
        numerator = numerator * x + upper
        denominator = denominator * x + lower
    return numerator / denominator


def _log(x: _Array) -> _Array:
    """Return ln x for positive x, by 2 artanh((f - 1) / (f + 1)) of the fraction f in [1/2, 1)."""
    fraction, exponent = np.frexp(x)
    ratio = (fraction - 1.0) / (fraction + 1.0)  # in [-1/3, 0]
    square = ratio * ratio
    series = np.zeros_like(x)
    for odd in range(41, 0, -2):  # 9^-20 of what the first term gives: below one ulp
        series = series * square + 1.0 / odd
    return exponent * _LN2 + 2.0 * ratio * series
