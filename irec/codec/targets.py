"""The best quality for a size, and the smallest file for a PSNR: few files, guided by estimates."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np

File = TypeVar("File")


def interpolated(known: Mapping[int, float], n_indices: int) -> list[float]:
    """Values at all quality indices from those at a few, the first and the last among them."""
    indices = sorted(known)
    return np.interp(range(n_indices), indices, [known[index] for index in indices]).tolist()


def first_that_fits(
    preferred: Sequence[int],
    estimates: Sequence[float],
    encode: Callable[[int], File],
    excess: Callable[[File], float],
) -> File | None:
    """Return the file of the most preferred quality index that fits.

    Neither size nor PSNR need grow with the quality, so every index counts that may fit. Each file
    that is made corrects the estimates near it; the index next to the answer is always tried.

    Args:
        preferred: Quality indices, the best first.
        estimates: Of the excess at each of `preferred`.
        encode: Makes the file of an index.
        excess: By how much a file misses the target; it fits where that is not positive.

    Returns:
        The file, or None where none fits of those that the estimates point to, nor the last.
    """
    errors: dict[int, float] = {}  # of the estimates, by place among `preferred`
    best: tuple[int, File] | None = None
    while True:
        end = len(preferred) if best is None else best[0]
        place = next((n for n in range(end) if _may_fit(n, estimates, errors)), None)
        if place is None:
            # Estimates promise nothing more: look next to the best, or at the last resort.
            place = end - 1
            if place < 0 or place in errors:
                return None if best is None else best[1]
        encoded = encode(preferred[place])
        found = excess(encoded)
        errors[place] = found - estimates[place]
        if found <= 0.0:
            best = place, encoded


def _may_fit(place: int, estimates: Sequence[float], errors: Mapping[int, float]) -> bool:
    """Whether a place is untried, and its estimate fits that errs as the nearest tried one did."""
    if place in errors:
        return False
    nearest = min(errors, key=lambda other: abs(other - place), default=None)
    return estimates[place] + (0.0 if nearest is None else errors[nearest]) <= 0.0
