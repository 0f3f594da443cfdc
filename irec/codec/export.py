"""From a training run's checkpoint to one that ships: folded float16 weights, coder statistics.

Statistics say what is usual when the model's latent tensors are coded, which keeps the headers of
files short. They are measured on posteriors of typical images, here because only the codec knows
models and coder.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from irec.bitstream import LATTICE, LOSSLESS, LOSSY, REFERENCE_PIXELS
from irec.codec.latent_sources import GroupedSource, NotingSource
from irec.coding import CoderSettings, planned_steps
from irec.errors import CheckpointError, DataError
from irec.models.checkpoint import (
    CodingStatistics,
    build_model,
    folded_state,
    read_run,
    save_checkpoint,
)
from irec.models.lattice_rvae import LatticeRVAE
from irec.models.lossy_model import LossyModel
from irec.models.registry import ModelConfig, build, kind_of, recognise
from irec.models.rvae import RVAE
from irec.models.sources import KnownPixels

_RVAE_PATCH, _N_RVAE_PATCHES, _RVAE_BATCH = 32, 128, 16
_LATTICE_PATCH, _N_LATTICE_PATCHES = 128, 32
_LOSSY_PATCH, _N_LOSSY_PATCHES = 192, 16
# More would suit each channel's posteriors better, and cost side information for each. Only models
# whose z1 is one tensor have groups.
_N_GROUPS = 4
_N_TENSORS_WITH_ONE_Z1 = 2


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
    config, state = _config_and_weights(run_checkpoint)
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


def _config_and_weights(path: Path) -> tuple[ModelConfig, dict[str, torch.Tensor]]:
    run = read_run(path)
    settings, state = run.get("hyper_parameters"), run.get("state_dict")
    if not (isinstance(settings, dict) and isinstance(state, dict)):
        raise CheckpointError(f"{path}: not a checkpoint that irec fit writes")
    try:
        config = recognise(settings)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: its settings are those of no model ({error})") from error
    if config is None:
        raise CheckpointError(f"{path}: not a checkpoint of one of irec's models")
    prefix = "model."
    weights = {
        name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)
    }
    return config, weights


@torch.inference_mode()
def measure_lossless(
    model: RVAE, images: Sequence[UInt8[np.ndarray, "_h _w 3"]]
) -> CodingStatistics:
    """Measure the median steps and schedule of each latent tensor.

    Args:
        model: In float32.
        images: Typical ones; patches of them are looked at.

    Raises:
        DataError: No image is large enough.
    """
    patches = _patches(images, _RVAE_PATCH, _N_RVAE_PATCHES)
    sources = []
    for batch in patches.split(_RVAE_BATCH):
        sources.append(NotingSource())
        model(batch, sources[-1])
    return _medians(sources, LOSSLESS.coder, _RVAE_PATCH**2)


@torch.inference_mode()
def measure_lattice(
    model: LatticeRVAE, images: Sequence[UInt8[np.ndarray, "_h _w 3"]]
) -> CodingStatistics:
    """As :func:`measure_lossless`."""
    if model.n_latent_tensors == 0:
        return CodingStatistics((), ())
    sources = []
    for batch in _patches(images, _LATTICE_PATCH, _N_LATTICE_PATCHES).split(1):
        sources.append(NotingSource())
        size = (_LATTICE_PATCH, _LATTICE_PATCH)
        model.generate(sources[-1], KnownPixels(batch), size, torch.zeros(1), batch)
    return _medians(sources, LATTICE.coder, _LATTICE_PATCH**2)


@torch.inference_mode()
def measure_lossy(
    model: LossyModel, images: Sequence[UInt8[np.ndarray, "_h _w 3"]]
) -> CodingStatistics:
    """Measure groups of channels where z1 is one tensor, and medians at each of the anchors.

    Arguments and errors as for :func:`measure_lossless`.
    """
    patches = _patches(images, _LOSSY_PATCH, _N_LOSSY_PATCHES)
    is_one = model.n_latent_tensors == _N_TENSORS_WITH_ONE_Z1
    groups = _channel_groups(model, patches) if is_one else ()
    of_anchors = [
        _medians([_drawn(model, patches, anchor, groups)], LOSSY.coder, _LOSSY_PATCH**2)
        for anchor in range(len(model.config.lambdas))
    ]
    return CodingStatistics(
        tuple(steps for one in of_anchors for steps in one.usual_steps),
        tuple(rho for one in of_anchors for rho in one.usual_rho),
        groups,
    )


def _channel_groups(model: LossyModel, patches: Tensor) -> tuple[tuple[int, ...], ...]:
    """Channels of z1 in groups that hold about as much KL each, the most telling first."""
    shares = torch.zeros(model.config.latent_channels, dtype=torch.float64)
    for anchor in range(len(model.config.lambdas)):
        kl = _drawn(model, patches, anchor).kl_nats[-1].double().sum((0, 2, 3))
        shares += kl / kl.sum().clamp(min=1e-9)
    order = shares.argsort(descending=True, stable=True)
    before = shares[order].cumsum(0) - shares[order]
    group = (_N_GROUPS * before / shares.sum().clamp(min=1e-9)).long().clamp(max=_N_GROUPS - 1)
    found = [order[group == number].tolist() for number in range(_N_GROUPS)]
    return tuple(tuple(channels) for channels in found if channels)


def _drawn(
    model: LossyModel, patches: Tensor, anchor: int, groups: Sequence[Sequence[int]] = ()
) -> NotingSource:
    """Run the generative pass at one of the anchors."""
    source = NotingSource()
    grouped = GroupedSource(source, model.n_latent_tensors - 1, groups)
    anchor_position = torch.full((len(patches),), float(anchor))
    height, width = patches.shape[2:]
    model.latents(grouped, model.infer(patches, anchor_position), height, width, anchor_position)
    return source


def _medians(
    sources: Sequence[NotingSource], coder: CoderSettings, n_pixels: int
) -> CodingStatistics:
    """Of each latent tensor of patches of so many pixels, drawn by any number of passes."""
    steps, rhos = [], []
    for pairs in zip(*(source.pairs for source in sources), strict=True):
        plans = [plan for pair in pairs for plan in planned_steps(*pair, coder=coder)]
        median = float(np.median([n_steps for n_steps, _ in plans]))
        steps.append(median * REFERENCE_PIXELS / n_pixels)
        found = [rho_index for n_steps, rho_index in plans if n_steps]
        rhos.append(int(np.median(found)) if found else 0)
    return CodingStatistics(tuple(steps), tuple(rhos))


def _patches(images: Sequence[np.ndarray], side: int, at_most: int) -> Tensor:
    """Squares float32 [n, 3, side, side], spread evenly over all images."""
    patches = [
        image[top : top + side, left : left + side]
        for image in images
        for top in range(0, image.shape[0] - side + 1, side)
        for left in range(0, image.shape[1] - side + 1, side)
    ]
    if not patches:
        raise DataError(f"none of {len(images)} images is {side} pixels high and wide or more")
    stride = max(1, len(patches) // at_most)
    chosen = np.stack(patches[::stride][:at_most]).transpose(0, 3, 1, 2)
    return torch.from_numpy(np.ascontiguousarray(chosen)).float()
