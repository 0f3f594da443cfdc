"""A checkpoint: a folder with config.json and weights.safetensors; loading runs no code of theirs.

config.json: {"architecture": "rvae", "model": {...RVAEConfig}, "coding": {"usual_steps": [...],
"usual_rho": [...]}}, or another name in :data:`irec.models.registry.KINDS` with its config. Weights
are float16 with weight norm folded in, so that the file is small and every machine starts from the
same numbers. README.md (the card) and metrics.json stand beside them.
"""

import json
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from irec.errors import CheckpointError
from irec.files import fingerprint, write_together
from irec.models.exact import neutral_torch
from irec.models.registry import KINDS, Model, ModelConfig, build, name_of
from irec.models.weight_norm import weight_norm_layers

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "weights.safetensors"

# What folding makes derivable is not stored.
_DERIVED = (".gain", ".initialised")
# Channels, blocks: more than any model has, few enough to fail fast.
_MAX_COUNT = 4096


@dataclass(frozen=True)
class CodingStatistics:
    """What is usual when the model's latent tensors are coded; keeps file headers short.

    Attributes:
        usual_steps: Per latent tensor, coder steps of a usual 32x32 image; for a model of several
            qualities at its first anchor, then at the next, and so on.
        usual_rho: Likewise, the usual index of the schedule, 0 to 79.
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
        checksum: :func:`checksum_of` what the file of weights holds, in float32.
    """

    name: str
    model: Model
    coding: CodingStatistics
    fingerprint: bytes
    checksum: int

    def is_intact(self) -> bool:
        """Whether the model in memory still has the weights of the checkpoint's files."""
        state = self.model.state_dict()
        stored = {name: value for name, value in state.items() if not name.endswith(_DERIVED)}
        return checksum_of(stored) == self.checksum and all(
            layer.is_folded() for layer in weight_norm_layers(self.model)
        )


def read_checkpoint(folder: Path) -> Checkpoint:
    """Read a folder.

    Raises:
        CheckpointError: A file is missing, damaged, or of another version of irec.
    """
    config = read_config(folder)
    architecture, values = config["architecture"], config["model"]
    if architecture not in KINDS:
        raise CheckpointError(f"{folder}: unknown architecture {architecture!r}; update irec")
    kind = KINDS[architecture].config
    try:
        _check_values(kind, values)
        coding = _coding_statistics(config["coding"], values)
        settings = kind(**values)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{folder / CONFIG_FILE} is damaged: {error}") from error
    try:
        state = load_file(folder / WEIGHTS_FILE)
        model = build_model(settings, state)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{folder / WEIGHTS_FILE} is unreadable: {error}") from error
    except CheckpointError as error:
        raise CheckpointError(f"{folder}: {error}") from error
    return Checkpoint(
        folder.name,
        model,
        coding,
        fingerprint_of(folder),
        checksum_of({name: value.float() for name, value in state.items()}),
    )


def fingerprint_of(folder: Path) -> bytes:
    """First bytes of the SHA-256 over a checkpoint's config and weights.

    Raises:
        CheckpointError: A file is missing.
    """
    return fingerprint(_read(folder / name) for name in (CONFIG_FILE, WEIGHTS_FILE))


# Draws of fresh weights must not move a caller's own generator.
@torch.random.fork_rng(devices=[])
@neutral_torch()
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
    missing = [name for name in missing if not name.endswith(_DERIVED)]
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
        if not name.endswith(_DERIVED)
    }


def checksum_of(state: Mapping[str, torch.Tensor]) -> int:
    """Return the CRC32 of weights, with their names, shapes and types."""
    checksum = 0
    for name in sorted(state):
        value = state[name].detach().cpu().contiguous()
        checksum = zlib.crc32(f"{name} {tuple(value.shape)} {value.dtype}".encode(), checksum)
        checksum = zlib.crc32(value.numpy().data, checksum)
    return checksum


def read_config(folder: Path) -> dict[str, Any]:
    """Read config.json; its parts are there, and of the right kinds.

    Raises:
        CheckpointError: It is missing or damaged.
    """
    path = folder / CONFIG_FILE
    try:
        config = json.loads(_read(path))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is damaged: {error!r}") from error
    kinds = {"architecture": str, "model": dict, "coding": dict}
    for name, kind in kinds.items():
        if not isinstance(config, dict) or not isinstance(config.get(name), kind):
            raise CheckpointError(f"{path} is damaged: {name!r} is missing, or no {kind.__name__}")
    return config


def read_run(path: Path) -> dict[str, Any]:
    """Read a Lightning checkpoint without running its code.

    Raises:
        CheckpointError: The file cannot be read, or is none.
    """
    try:
        run = torch.load(path, map_location="cpu", weights_only=True)
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error
    # Unpickling meets other files with whatever it runs into, and long advice on top.
    except Exception as error:
        raise CheckpointError(
            f"{path}: not a checkpoint, or damaged; irec fit writes them, as .ckpt files"
        ) from error
    if not isinstance(run, dict):
        raise CheckpointError(f"{path}: not a checkpoint that irec fit writes")
    return run


def _check_values(kind: type[Any], values: dict[str, Any]) -> None:
    """Check what a config.json says of a model, before anything is built from it.

    Args:
        kind: Dataclass of the model's settings.
        values: Its fields, of JSON's types.

    Raises:
        ValueError: A field is unknown, of another type, or beyond all reason.
    """
    hints = get_type_hints(kind)
    if unknown := set(values) - set(hints):
        raise ValueError(f"unknown settings: {', '.join(sorted(unknown))}")
    least = {field.name: field.metadata.get("least", 1) for field in fields(kind)}
    for name, value in values.items():
        if get_origin(hints[name]) is not Sequence:
            _check_value(name, hints[name], value, least[name])
        elif isinstance(value, list):
            (hint,) = get_args(hints[name])
            for one in value:
                _check_value(f"one of {name}", hint, one, least=0)
        else:
            raise ValueError(f"{name} is {value!r}, not a list")


def _check_value(name: str, hint: Any, value: Any, least: int) -> None:
    choices = get_args(hint) if get_origin(hint) is Literal else (value,)
    if hint is int and not (type(value) is int and least <= value <= _MAX_COUNT):
        raise ValueError(f"{name} is {value!r}, not a whole number from {least} to {_MAX_COUNT}")
    if hint is float and not _is_number(value):
        raise ValueError(f"{name} is {value!r}, not a number")
    if value not in choices:
        raise ValueError(f"{name} is {value!r}, not one of {', '.join(map(str, choices))}")


def _coding_statistics(coding: dict[str, Any], values: dict[str, Any]) -> CodingStatistics:
    names = ("usual_steps", "usual_rho", "channel_groups")
    steps, rho, groups = (coding.get(name, []) for name in names)
    if not (isinstance(steps, list) and all(_is_number(one) and one >= 0 for one in steps)):
        raise ValueError("usual_steps are numbers from 0 on")
    if not (isinstance(rho, list) and all(type(one) is int and 0 <= one < 80 for one in rho)):
        raise ValueError("usual_rho are whole numbers from 0 to 79")
    if not (isinstance(groups, list) and all(isinstance(group, list) for group in groups)):
        raise ValueError("channel_groups are lists")
    channels = [channel for group in groups for channel in group]
    n_channels = values.get("latent_channels", len(channels))
    is_whole = all(type(channel) is int for channel in channels)
    if channels and not (is_whole and sorted(channels) == list(range(n_channels))):
        raise ValueError("channel_groups do not hold each latent channel once")
    return CodingStatistics(tuple(steps), tuple(rho), tuple(map(tuple, groups)))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and type(value) is not bool and math.isfinite(value)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error
