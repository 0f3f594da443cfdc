"""What a quality means: a number in the file, a lambda for training, a position for the model.

A lossy file stores its quality as a number from 0 to 200. Between the first and the last of the
model's lambdas it runs evenly through the anchors, and between neighbours evenly on a logarithmic
scale.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from irec.bitstream import LOSSY
from irec.errors import InvalidParameterError

DEFAULT_QUALITY = 50.0
_MAX_INDEX = LOSSY.max_quality_index


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

    def position_of(self, index: int) -> float:
        """Where among the model's anchors a quality lies."""
        return index * (len(self.lambdas) - 1) / _MAX_INDEX

    def lambda_of(self, index: int) -> float:
        """Return the lambda of 255^2 lambda MSE + bits per pixel that a quality stands for."""
        position = self.position_of(index)
        left = min(int(position), max(0, len(self.lambdas) - 2))
        right = min(left + 1, len(self.lambdas) - 1)
        return self.lambdas[left] * (self.lambdas[right] / self.lambdas[left]) ** (position - left)

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
