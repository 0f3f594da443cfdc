"""Where streams are searched: compiled on the cores of a CPU, or all together on an accelerator."""

import gc
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from irec.coding.blocks import FoundPath, Stream
from irec.coding.codebook import Codebook
from irec.coding.parallel import map_on_cores
from irec.coding.search import search_streams
from irec.coding.settings import Order
from irec.coding.shared_randomness import SIGN_POOL_SIZE, SharedRandomness

MAX_KEPT = 1 << 28
"""Beams * dimensions of all blocks that one search comes back to, at most: a limit of memory."""

SIGNS_TAKE = SIGN_POOL_SIZE // 8
"""As many beams take as much memory as the signs of a block: two floats a dimension, each."""

# Deviation, in nats, of what rounding may do to the scores that a search chooses by.
_MAX_NOISE = 0.1

# Beams * dimensions of one step of all streams that an accelerator searches together.
_SEARCHED_TOGETHER = 1 << 25


def find_paths(
    streams: Sequence[Stream],
    codebook: Codebook,
    randomness: SharedRandomness,
    n_beams: int,
    order: Order,
) -> list[FoundPath]:
    """Return the best path of indices that the beam search finds for each stream.

    Args:
        streams: Independent of each other, in any order.
        codebook: Holds all their columns.
        randomness: The tensor's random numbers, which all streams share.
        n_beams: Hypotheses kept per stream.
        order: Of the paths.
    """
    find = _find_on_cores if randomness.device.type == "cpu" else find_together
    # The longest first: cores finish at the same time, and live streams are always a prefix.
    longest_first = sorted(range(len(streams)), key=lambda n: -streams[n].n_steps)
    found = find([streams[n] for n in longest_first], codebook, randomness, n_beams, order)
    path_of_stream = dict(zip(longest_first, found, strict=True))
    return [path_of_stream[n] for n in range(len(streams))]


def _find_on_cores(
    streams: Sequence[Stream],
    codebook: Codebook,
    randomness: SharedRandomness,
    n_beams: int,
    order: Order,
) -> list[FoundPath]:
    """Search each stream with the compiled kernel, several streams at a time."""
    search_stream = _load_kernel()
    rows, signs = (part.numpy() for part in codebook.drawn)
    rows = rows.reshape(-1, codebook.n_rows, rows.shape[1])
    first_hashes = randomness.first_hash(torch.tensor([stream.number for stream in streams]))

    def search(number: int) -> FoundPath:
        stream = streams[number]
        places = codebook.places(stream.columns)
        # Dimensions beyond the last are those of the prior, so any column will do.
        arguments = (
            _padded(stream.mean, 0.0).numpy(),
            _padded(stream.scale, 1.0).square().numpy(),
            _padded(places, 0.0).numpy().astype(np.uint64),
            stream.tabulate(order).numpy(),
            rows,
            signs,
            int(first_hashes[number]),
            n_beams,
            1 if order == "block" else stream.n_blocks,
            _MAX_NOISE,
        )
        try:
            path, log_ratio = search_stream(*arguments)
        except SystemError as error:
            # What a signal raised meanwhile, Ctrl-C for one, comes as the cause of another error.
            raise (error.__cause__ or error) from None
        return FoundPath(torch.from_numpy(path), float(log_ratio))

    return map_on_cores(search, range(len(streams)))


def _load_kernel() -> Callable[..., tuple[NDArray[np.int64], float]]:
    """Import the kernel, which only encoders need and which takes a while to load.

    Garbage is not collected meanwhile: going through all that torch has loaded takes a third of
    the time.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        from irec.coding.kernel import search_stream
    finally:
        if was_enabled:
            gc.enable()
    return search_stream


def _padded(of_dims: Tensor, value: float) -> Tensor:
    """Add dimensions of this value, to a multiple of what processors work on together."""
    return functional.pad(of_dims, (0, -of_dims.shape[1] % 16), value=value).contiguous()


def find_together(
    streams: Sequence[Stream],
    codebook: Codebook,
    randomness: SharedRandomness,
    n_beams: int,
    order: Order,
) -> list[FoundPath]:
    """Search streams, longest first, in torch, as many at a time as there is memory for."""
    n_kept = 1 if order == "block" else streams[0].n_blocks
    room = min(_SEARCHED_TOGETHER, MAX_KEPT // n_kept) // n_beams
    paths: list[FoundPath] = []
    while len(paths) < len(streams):
        chosen: list[Stream] = []
        width = 0
        for stream in streams[len(paths) :]:
            width = max(width, stream.width)
            if chosen and width * (len(chosen) + 1) > room:
                break
            chosen.append(stream)
        paths += search_streams(chosen, codebook, randomness, n_beams, order)
    return paths
