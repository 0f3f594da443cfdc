"""What is usual when a model's latent tensors are coded; keeps the headers of files short.

Measured by coding typical images. Lives in the codec because only there models meet the coder.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from irec.codec.latent_sources import EncodingSource
from irec.codec.lossy import LOSSY_CODER
from irec.coding import CoderSettings, SearchSettings
from irec.errors import DataError
from irec.models.architectures import Model
from irec.models.rvae import RVAE
from irec.models.two_level_vae import TwoLevelVAE
from irec.models.zoo import CodingStatistics

# The encoder chooses steps by KL and schedule, not by search effort: a narrow search will do.
_SEARCH = SearchSettings(n_beams=8)
_REFERENCE_PIXELS = 32 * 32
_RVAE_PATCH, _N_RVAE_PATCHES, _RVAE_BATCH = 32, 128, 16
_TWO_LEVEL_PATCH, _N_TWO_LEVEL_PATCHES = 192, 16


@torch.inference_mode()
def measure_statistics(
    model: Model, images: Sequence[UInt8[np.ndarray, "_h _w 3"]]
) -> CodingStatistics:
    """Measure the median steps and schedule of each latent tensor, at each of the model's rates.

    Args:
        model: in float32.
        images: typical ones; patches of them are coded.

    Raises:
        DataError: no image is large enough.
    """
    if isinstance(model, RVAE):
        patches = _patches(images, _RVAE_PATCH, _N_RVAE_PATCHES)
        return _medians(_rvae_sources(model, patches), model.n_latent_tensors, _REFERENCE_PIXELS)
    patches = _patches(images, _TWO_LEVEL_PATCH, _N_TWO_LEVEL_PATCHES)
    of_anchors = [
        _medians([_two_level_source(model, patches, anchor)], 2, _TWO_LEVEL_PATCH**2)
        for anchor in range(len(model.config.lambdas))
    ]
    return CodingStatistics(
        tuple(steps for one in of_anchors for steps in one.usual_steps),
        tuple(rho for one in of_anchors for rho in one.usual_rho),
    )


def _rvae_sources(model: RVAE, patches: Tensor) -> list[EncodingSource]:
    sources = []
    for batch in patches.split(_RVAE_BATCH):
        sources.append(EncodingSource(0, CoderSettings(), _SEARCH))
        model(batch, sources[-1])
    return sources


def _two_level_source(model: TwoLevelVAE, patches: Tensor, anchor: int) -> EncodingSource:
    source = EncodingSource(0, LOSSY_CODER, _SEARCH)
    position = torch.full((len(patches),), float(anchor))
    height, width = patches.shape[2:]
    model.latents(source, model.infer(patches, position), height, width, position)
    return source


def _medians(sources: Sequence[EncodingSource], n_tensors: int, n_pixels: int) -> CodingStatistics:
    steps, rhos = [], []
    for tensor in range(n_tensors):
        codes = [code for source in sources for code in source.codes[tensor]]
        median = float(np.median([code.n_steps for code in codes]))
        steps.append(median * _REFERENCE_PIXELS / n_pixels)
        found = [code.rho_index for code in codes if code.n_steps]
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
