"""Two small numbers per latent tensor, coded against what the checkpoint says is usual.

The number of steps T says how much the encoder had to send, rho how that is spread over the steps.
An image that is harder than usual is so in every tensor: the steps of a tile's earlier tensors
correct the prediction for the later ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from irec.bitstream.bits import BitReader, BitWriter
from irec.coding.schedule import N_RHOS
from irec.errors import CorruptFileError, InvalidParameterError

MAX_STEPS = (1 << 31) - 1

REFERENCE_PIXELS = 32 * 32
# All prediction happens in integers, sixteenths of a step.
_UNIT = 16
# Usual error of a predicted number of steps, in sixteenths of it.
_SPREAD = 2
# Steps that speak for a tile of usual complexity before its own tensors are seen.
_TILE_WEIGHT = 16
# Rice parameter of the rho indices' differences.
_RHO_PARAMETER = 0


@dataclass(frozen=True)
class SideInfoModel:
    """What is usual for a checkpoint's latent tensors; stands in the checkpoint, not in the file.

    Attributes:
        usual_steps: Per tensor, steps of a usual tile of 32x32 pixels; scaled with the tile's area.
        usual_rho: Per tensor, the usual rho index, 0 to 79.

    Raises:
        InvalidParameterError: Lengths differ or a value is out of range.
    """

    usual_steps: tuple[float, ...]
    usual_rho: tuple[int, ...]

    def __post_init__(self) -> None:
        """Check lengths and ranges."""
        if len(self.usual_steps) != len(self.usual_rho):
            raise InvalidParameterError(
                f"{len(self.usual_steps)} usual steps, {len(self.usual_rho)} usual rhos"
            )
        if not all(0 <= steps <= MAX_STEPS for steps in self.usual_steps):
            raise InvalidParameterError(f"usual steps {self.usual_steps}")
        if not all(0 <= rho < N_RHOS for rho in self.usual_rho):
            raise InvalidParameterError(f"usual rho indices {self.usual_rho}; 0 to 79 are possible")


class _StepsPredictor:
    """Predicts a tile's steps tensor by tensor; writer and reader feed it the same numbers."""

    def __init__(self, model: SideInfoModel, tile_pixels: int) -> None:
        # Floats of the checkpoint meet one multiplication and one rounding, which IEEE 754 fixes.
        self._usual = [
            round(steps * _UNIT) * tile_pixels // REFERENCE_PIXELS for steps in model.usual_steps
        ]
        self._seen_usual = self._seen = _TILE_WEIGHT * _UNIT

    def predict(self, tensor: int) -> tuple[int, int]:
        """Return the predicted number of steps and the Rice parameter for its error."""
        scaled = self._usual[tensor] * self._seen // self._seen_usual
        error = scaled * _SPREAD // (_UNIT * _UNIT)
        prediction = min((scaled + _UNIT // 2) // _UNIT, MAX_STEPS)
        return prediction, min(error.bit_length(), 30)

    def observe(self, tensor: int, n_steps: int) -> None:
        """Learns the number of steps that the tensor took."""
        self._seen_usual += self._usual[tensor]
        self._seen += n_steps * _UNIT


def write_side_info(
    writer: BitWriter,
    tensors: Sequence[tuple[int, int]],
    model: SideInfoModel,
    tile_pixels: int,
) -> None:
    """Write one tile's side information.

    Args:
        writer: Of the file.
        tensors: (number of steps, rho index) of each tensor; a tensor without steps has rho 0.
        model: What is usual.
        tile_pixels: Height x width of the tile as the model sees it.

    Raises:
        InvalidParameterError: A number is out of range, or the tensors are not the model's.
    """
    if len(tensors) != len(model.usual_steps):
        raise InvalidParameterError(
            f"{len(tensors)} tensors, the model has {len(model.usual_steps)}"
        )
    predictor = _StepsPredictor(model, tile_pixels)
    for tensor, (n_steps, rho_index) in enumerate(tensors):
        if not (0 <= n_steps <= MAX_STEPS and 0 <= rho_index < N_RHOS):
            raise InvalidParameterError(f"{n_steps} steps with rho index {rho_index}")
        if n_steps == 0 and rho_index != 0:
            raise InvalidParameterError("a tensor without steps has rho index 0")
        prediction, parameter = predictor.predict(tensor)
        writer.write_rice(fold(n_steps, prediction), parameter)
        if n_steps:
            writer.write_rice(fold(rho_index, model.usual_rho[tensor]), _RHO_PARAMETER)
        predictor.observe(tensor, n_steps)


def read_side_info(
    reader: BitReader, model: SideInfoModel, tile_pixels: int
) -> list[tuple[int, int]]:
    """Read what :func:`write_side_info` wrote, with the same model and pixels.

    Raises:
        TruncatedFileError: The bits end.
        CorruptFileError: A number is out of range.
    """
    predictor = _StepsPredictor(model, tile_pixels)
    tensors = []
    for tensor, usual_rho in enumerate(model.usual_rho):
        prediction, parameter = predictor.predict(tensor)
        n_steps = unfold(reader.read_rice(parameter), prediction)
        rho_index = unfold(reader.read_rice(_RHO_PARAMETER), usual_rho) if n_steps else 0
        if n_steps > MAX_STEPS or rho_index >= N_RHOS:
            raise CorruptFileError(f"the file claims {n_steps} steps with rho index {rho_index}")
        predictor.observe(tensor, n_steps)
        tensors.append((n_steps, rho_index))
    return tensors


def fold(value: int, prediction: int) -> int:
    """Map 0, 1, 2, ... one to one onto itself, the nearer to the prediction the smaller.

    Like zigzag, but no code is spent on what would be below zero.
    """
    difference = value - prediction
    if difference > prediction:
        return value
    return 2 * difference if difference >= 0 else -2 * difference - 1


def unfold(code: int, prediction: int) -> int:
    """Undoes ``fold``."""
    if code > 2 * prediction:
        return code
    return prediction - (code + 1) // 2 if code % 2 else prediction + code // 2
