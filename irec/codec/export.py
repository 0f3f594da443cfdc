"""From a training run's checkpoint to one that ships: folded float16 weights, coder statistics."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8

from irec.errors import CheckpointError
from irec.models.registry import ModelConfig, build, kind_of, recognise
from irec.models.zoo import build_model, folded_state, save_checkpoint


def export_checkpoint(
    run_checkpoint: Path, destination: Path, images: Sequence[UInt8[np.ndarray, "_h _w 3"]]
) -> None:
    """Write a shipped checkpoint.

    Args:
        run_checkpoint: A ``.ckpt`` file of ``irec fit``; averaged weights are taken where the run
            kept them.
        destination: Folder to write config.json and weights.safetensors to.
        images: Typical images, on which the usual number of steps is measured.

    Raises:
        CheckpointError: The run's file is absent, damaged, or of another model.
        DataError: No image is large enough.
    """
    config, state = _read_run(run_checkpoint)
    model = build(config)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise CheckpointError(
            f"{run_checkpoint}: other weights than its settings say ({error})"
        ) from error
    # Measured on the float16 weights that ship.
    shipped = build_model(config, folded_state(model))
    save_checkpoint(
        destination, model, kind_of(config).resolve_codec().measure_statistics(shipped, images)
    )


def _read_run(path: Path) -> tuple[ModelConfig, dict[str, torch.Tensor]]:
    """Model configuration and weights of a Lightning checkpoint, read without running its code."""
    try:
        run: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        hyper_parameters, state = run["hyper_parameters"], run["state_dict"]
        config = recognise(hyper_parameters)
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: not a checkpoint that irec fit writes") from error
    # Unpickling meets other files with whatever it runs into, and long advice on top.
    except Exception as error:
        raise CheckpointError(
            f"{path}: not a checkpoint, or damaged; irec fit writes them, as .ckpt files"
        ) from error
    if config is None:
        raise CheckpointError(f"{path}: not a checkpoint of one of irec's models")
    prefix = "model."
    weights = {
        name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)
    }
    return config, weights
