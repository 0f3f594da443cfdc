"""From a training run's checkpoint to one that ships: folded float16 weights and coder statistics.

Lives in the codec because what is usual for a model's files is measured by coding with it.
"""

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8

from irec.codec.latent_sources import EncodingSource
from irec.coding import CoderSettings, SearchSettings
from irec.errors import CheckpointError
from irec.models.rvae import RVAE, RVAEConfig
from irec.models.zoo import CodingStatistics, build_model, folded_state, save_checkpoint

# The encoder chooses steps by KL and schedule, not by search effort: a narrow search will do.
_CALIBRATION_SEARCH = SearchSettings(n_beams=8)
_BATCH = 16


def export_checkpoint(
    run_checkpoint: Path, destination: Path, images: Sequence[UInt8[np.ndarray, "32 32 3"]]
) -> None:
    """Write a shipped checkpoint.

    Args:
        run_checkpoint: a ``.ckpt`` file of ``irec fit``; averaged weights are taken where the run
            kept them.
        destination: folder to write config.json and weights.safetensors to.
        images: typical images of 32x32 pixels, on which the usual number of steps is measured.

    Raises:
        CheckpointError: the run's file is absent, damaged, or of another model.
    """
    config, state = _read_run(run_checkpoint)
    model = RVAE(config)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise CheckpointError(f"{run_checkpoint}: not weights of an RVAE ({error})") from error
    # Measured on the float16 weights that ship.
    shipped = build_model(vars(config), folded_state(model))
    save_checkpoint(destination, model, measure_statistics(shipped, images))


@torch.inference_mode()
def measure_statistics(
    model: RVAE, images: Sequence[UInt8[np.ndarray, "32 32 3"]]
) -> CodingStatistics:
    """Measure the median steps and schedule of each latent tensor."""
    steps: list[list[int]] = [[] for _ in range(model.n_latent_tensors)]
    rhos: list[list[int]] = [[] for _ in range(model.n_latent_tensors)]
    for start in range(0, len(images), _BATCH):
        batch = np.stack(images[start : start + _BATCH]).transpose(0, 3, 1, 2)
        source = EncodingSource(0, CoderSettings(), _CALIBRATION_SEARCH)
        model(torch.from_numpy(np.ascontiguousarray(batch)).float(), source)
        for tensor, codes in enumerate(source.codes):
            steps[tensor] += [code.n_steps for code in codes]
            rhos[tensor] += [code.rho_index for code in codes if code.n_steps]
    return CodingStatistics(
        usual_steps=tuple(float(np.median(values)) for values in steps),
        usual_rho=tuple(int(np.median(values)) if values else 0 for values in rhos),
    )


def _read_run(path: Path) -> tuple[RVAEConfig, dict[str, torch.Tensor]]:
    """Model configuration and weights of a Lightning checkpoint, read without running its code."""
    try:
        run: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        hyper_parameters, state = run["hyper_parameters"], run["state_dict"]
        config = RVAEConfig(
            **{
                name: hyper_parameters[name]
                for name in ("n_blocks", "hidden_channels", "latent_channels", "likelihood")
            }
        )
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error
    except (RuntimeError, pickle.UnpicklingError, EOFError) as error:
        raise CheckpointError(f"{path}: not a checkpoint of a training run ({error})") from error
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: not a checkpoint of irec's RVAE ({error!r})") from error
    prefix = "model."
    weights = {
        name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)
    }
    return config, weights
