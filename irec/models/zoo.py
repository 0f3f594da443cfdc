"""Checkpoints: a folder with config.json and weights.safetensors; loading runs no code of theirs.

config.json: {"architecture": "rvae", "model": {...RVAEConfig}, "coding": {"usual_steps": [...],
"usual_rho": [...]}}, or "two_level_vae" with TwoLevelVAEConfig. Weights are float16 with weight
norm folded in, so that the file is small and every machine starts from the same numbers. README.md
(the card) and metrics.json stand beside them.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from irec.errors import CheckpointError, ModelMismatchError
from irec.files import fingerprint, write_together
from irec.models.registry import KINDS, Model, ModelConfig, build, name_of
from irec.models.weight_norm import weight_norm_layers

DEFAULT_CHECKPOINT = "rvae-small"
DEFAULT_LOSSY_CHECKPOINT = "two-level-vae-small"
CONFIG_FILE = "config.json"
WEIGHTS_FILE = "weights.safetensors"

_PACKAGE = Path(__file__).resolve().parent.parent
# An installed package carries the checkpoints inside; a clone has them at its top level.
_FOLDERS = (_PACKAGE / "checkpoints", _PACKAGE.parent / "checkpoints")


@dataclass(frozen=True)
class CodingStatistics:
    """What is usual when the model's latent tensors are coded; keeps file headers short.

    Attributes:
        usual_steps: Per latent tensor, coder steps of a usual 32x32 image; for a model of several
            rates at its first anchor, then at the next, and so on.
        usual_rho: Likewise, the usual index of the schedule, 0 to 31.
        channel_groups: Of lossy models, the channels of the last tensor, which is coded in these
            groups one after the other.
    """

    usual_steps: tuple[float, ...]
    usual_rho: tuple[int, ...]
    channel_groups: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True)
class Checkpoint:
    """A trained model, ready to code.

    Attributes:
        name: Of its folder.
        model: In eval mode, float32.
        coding: See :class:`CodingStatistics`.
        fingerprint: First bytes of a SHA-256 over config and weights; stands in every file.
    """

    name: str
    model: Model
    coding: CodingStatistics
    fingerprint: bytes


def _shipped() -> dict[str, Path]:
    """Folders of the checkpoints that come with irec, by name."""
    return {
        config.parent.name: config.parent
        for folder in reversed(_FOLDERS)
        for config in sorted(folder.glob(f"*/{CONFIG_FILE}"))
    }


def available_checkpoints() -> list[str]:
    """Names of the checkpoints that come with irec."""
    return sorted(_shipped())


def load_checkpoint(name_or_path: str | Path = DEFAULT_CHECKPOINT) -> Checkpoint:
    """Load a checkpoint.

    Args:
        name_or_path: One of :func:`available_checkpoints`, or the path of a checkpoint folder.

    Raises:
        CheckpointError: There is none of that name, or its files are incomplete or damaged.
    """
    folder = Path(name_or_path)
    if not (folder / CONFIG_FILE).is_file():
        shipped = _shipped()
        if str(name_or_path) not in shipped:
            raise CheckpointError(
                f"no checkpoint {str(name_or_path)!r}: give the path of a folder with {CONFIG_FILE}"
                f" and {WEIGHTS_FILE}, or one of: {', '.join(shipped) or '(none is installed)'}"
            )
        folder = shipped[str(name_or_path)]
    return _load_folder(folder)


def find_checkpoint(wanted: bytes) -> Checkpoint:
    """Load the installed checkpoint that a file's fingerprint names.

    Raises:
        ModelMismatchError: No installed checkpoint has this fingerprint.
    """
    for folder in _shipped().values():
        if fingerprint_of(folder) == wanted:
            return _load_folder(folder)
    raise ModelMismatchError(
        f"the file was made with a model (fingerprint {wanted.hex()}) that is not installed; "
        "name its checkpoint folder with --checkpoint"
    )


def fingerprint_of(folder: Path) -> bytes:
    """First bytes of the SHA-256 over a checkpoint's config and weights.

    Raises:
        CheckpointError: A file is missing.
    """
    return fingerprint(_read(folder / name) for name in (CONFIG_FILE, WEIGHTS_FILE))


def build_model(config: ModelConfig, state: dict[str, torch.Tensor]) -> Model:
    """Build a model from a checkpoint's config and folded weights.

    Raises:
        CheckpointError: Config and weights do not fit each other or this version of irec.
    """
    try:
        model = build(config)
        state = {name: value.float() for name, value in state.items()}
        missing, unexpected = model.load_state_dict(state, strict=False)
    except (ValueError, RuntimeError) as error:
        raise CheckpointError(f"the weights do not fit the configuration: {error}") from error
    # Folding makes gain and the initialisation flag derivable, so they are not stored.
    missing = [name for name in missing if not name.endswith((".gain", ".initialised"))]
    if missing or unexpected:
        raise CheckpointError(f"weights missing: {missing}, unexpected: {unexpected}")
    for layer in weight_norm_layers(model):
        layer.adopt_folded()
    return model.eval().requires_grad_(False)


def save_checkpoint(folder: Path, model: Model, coding: CodingStatistics) -> None:
    """Write config.json and weights.safetensors (float16, weight norm folded in).

    Args:
        folder: Created where it does not exist.
        model: Left as it is, but for folding, which does not change its function.
        coding: Measured on typical images.

    Raises:
        OutputFileError: The system refuses to write.
    """
    config = {
        "architecture": name_of(model.config),
        "model": asdict(model.config),
        "coding": {name: value for name, value in asdict(coding).items() if value},
    }
    contents = {
        WEIGHTS_FILE: save(folded_state(model)),
        CONFIG_FILE: (json.dumps(config, indent=2) + "\n").encode(),
    }
    write_together(folder, contents)


def folded_state(model: Model) -> dict[str, torch.Tensor]:
    """Weights in float16 as a checkpoint stores them."""
    for layer in weight_norm_layers(model):
        layer.fold()
    return {
        name: value.half().contiguous()
        for name, value in model.state_dict().items()
        if not name.endswith((".gain", ".initialised"))
    }


def _load_folder(folder: Path) -> Checkpoint:
    try:
        config = json.loads(_read(folder / CONFIG_FILE))
        architecture, values = config["architecture"], config["model"]
        coding = CodingStatistics(
            tuple(config["coding"].get("usual_steps", ())),
            tuple(config["coding"].get("usual_rho", ())),
            tuple(tuple(group) for group in config["coding"].get("channel_groups", ())),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{folder / CONFIG_FILE} is damaged: {error!r}") from error
    try:
        model = KINDS[architecture].config(**values)
    except KeyError as error:
        raise CheckpointError(
            f"{folder}: unknown architecture {architecture!r}; update irec"
        ) from error
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{folder / CONFIG_FILE} is damaged: {error}") from error
    try:
        state = load_file(folder / WEIGHTS_FILE)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{folder / WEIGHTS_FILE} is unreadable: {error}") from error
    return Checkpoint(folder.name, build_model(model, state), coding, fingerprint_of(folder))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error
