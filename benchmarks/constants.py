"""What a constant of the encoder is worth: python benchmarks/constants.py _PULL [--values 0 0.1].

Codes the middles of photographs with each value in its place, in a process of its own, and prints
the bytes of all files, the processor time, and the memory that encoding took beyond what a small
image does. The line with an asterisk is of the value that stands. Choose on photographs that no
figure is published of; without --images it is the bundled ones.
"""

import argparse
import importlib
import multiprocessing
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from irec.codec import make_codec
from irec.defaults import DEFAULT_CHECKPOINT, SAMPLES
from irec.images import image_paths, read_image
from irec.models.zoo import load_checkpoint


@dataclass(frozen=True)
class Trial:
    """What to try for a constant.

    Attributes:
        module: Where it stands.
        values: Besides the one that stands.
        checkpoint: Of a model that it matters to.
        sides: Of the squares that are coded.
    """

    module: str
    values: tuple[float, ...]
    checkpoint: str = DEFAULT_CHECKPOINT
    sides: tuple[int, ...] = (256,)


_CALIBRATE = "irec.codec.calibrate"
TRIALS = {
    "_MIN_VALUES": Trial(_CALIBRATE, (1, 300, 3000, 10_000), sides=(16, 32, 64)),
    "_MAX_PIXELS": Trial(_CALIBRATE, (256, 1024, 16_384)),
    "_PULL": Trial(_CALIBRATE, (0.0, 0.005, 0.1, 0.5), sides=(64, 256)),
    "_MAX_BATCH_PIXELS": Trial("irec.codec.tiles", (1 << 14, 1 << 16), "rvae-small", sides=(64,)),
}


def main() -> None:
    """Print one line for each value."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("constant", choices=TRIALS)
    parser.add_argument("--values", type=float, nargs="+")
    parser.add_argument("--images", type=Path, default=SAMPLES)
    parser.add_argument("--sides", type=int, nargs="+")
    parser.add_argument("--effort", type=int, default=1)
    chosen = parser.parse_args()
    trial = TRIALS[chosen.constant]
    stands = getattr(importlib.import_module(trial.module), chosen.constant)
    values = {type(stands)(value) for value in chosen.values or trial.values} | {stands}
    print("| value | bytes | processor s | MB |\n|---|---|---|---|")
    # Memory that a process once held it may keep, and what it once computed too.
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for value in sorted(values):
            given = (chosen.constant, value, chosen.images, chosen.sides, chosen.effort)
            n_bytes, seconds, peak = pool.apply(_with, given)
            mark = " *" if value == stands else ""
            print(
                f"| {value:g}{mark} | {n_bytes:,} | {seconds:.1f} | {peak / 1e6:.0f} |", flush=True
            )


def _with(
    name: str, value: Any, folder: Path, sides: Sequence[int] | None, effort: int
) -> tuple[int, float, int]:
    """Return bytes, processor seconds and bytes of memory that a value brings."""
    trial = TRIALS[name]
    setattr(importlib.import_module(trial.module), name, value)
    photographs = [read_image(path)[:, :, :3] for path in image_paths(folder)]
    codec = make_codec(load_checkpoint(trial.checkpoint), effort=effort, verify=False)
    codec.encode(photographs[0][:64, :64])
    before, start, n_bytes = _peak_bytes(), time.process_time(), 0
    for side in sides or trial.sides:
        squares = [_middle(one, side) for one in photographs]
        n_bytes += sum(len(one.data) for one in codec.encode_batch(squares))
    return n_bytes, time.process_time() - start, _peak_bytes() - before


def _middle(image: np.ndarray, side: int) -> np.ndarray:
    top, left = (max(0, (n - side) // 2) for n in image.shape[:2])
    return np.ascontiguousarray(image[top : top + side, left : left + side])


def _peak_bytes() -> int:
    # In KiB on Linux, in bytes on macOS.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


if __name__ == "__main__":
    main()
