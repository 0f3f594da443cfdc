"""What a quality means: a number in the file, a lambda for training, an anchor position of a model.

A lossy file stores its quality as a number from 0 to 200. Between the first and the last of the
model's lambdas it runs evenly through the anchors, and between neighbours evenly on a logarithmic
scale. Targets, a size or a PSNR, are met by few files, guided by estimates.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch

from irec.bitstream import LOSSY
from irec.defaults import DEFAULT_QUALITY
from irec.errors import InvalidParameterError
from irec.models.lossy_model import lambda_at

_MAX_INDEX = LOSSY.max_quality_index

File = TypeVar("File")


@dataclass(frozen=True)
class Qualities:
    """The qualities of one model.

    Attributes:
        lambdas: Its anchors, ascending; one for a model of one quality.
        model: Its name, for errors.
    """

    lambdas: Sequence[float]
    model: str

    @property
    def has_quality(self) -> bool:
        """Whether there is more than one."""
        return len(self.lambdas) > 1

    def index_of(self, quality: float | None) -> int:
        """Return a quality as files have it, 0 to 200.

        Raises:
            InvalidParameterError: The model has no such quality.
        """
        if self.has_quality:
            return _nearest_index(DEFAULT_QUALITY if quality is None else quality)
        if quality is not None:
            raise InvalidParameterError(
                f"{self.model} is a model of one quality: it takes no quality"
            )
        return 0

    def quality_of(self, index: int) -> float | None:
        """Return the quality that a file was made for; None where the model has one."""
        return 100.0 * index / _MAX_INDEX if self.has_quality else None

    def anchor_position_of(self, index: int) -> float:
        """Where among the model's anchors a quality lies: 0 at the first."""
        return index * (len(self.lambdas) - 1) / _MAX_INDEX

    def lambda_of(self, index: int) -> float:
        """Return the lambda of 255^2 lambda MSE + bits per pixel that a quality stands for."""
        anchor_position = torch.tensor([self.anchor_position_of(index)], dtype=torch.float64)
        return float(lambda_at(anchor_position, self.lambdas))

    def nearest_anchor(self, index: int) -> int:
        """Return the anchor whose statistics such a file is laid out with; in integers alone."""
        return (2 * index * (len(self.lambdas) - 1) + _MAX_INDEX) // (2 * _MAX_INDEX)


def nearest_quality(quality: float) -> float:
    """Return the quality that files have which are made at `quality`: the nearest half.

    Raises:
        InvalidParameterError: It does not lie between 0 and 100.
    """
    return 100.0 * _nearest_index(quality) / _MAX_INDEX


def _nearest_index(quality: float) -> int:
    if not 0.0 <= quality <= 100.0:
        raise InvalidParameterError(f"quality goes from 0 to 100, not {quality:g}")
    return round(quality * _MAX_INDEX / 100.0)


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
