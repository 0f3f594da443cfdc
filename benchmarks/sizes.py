"""What images of each size take, and thin ones: python benchmarks/sizes.py [--sizes 1x4096 ...].

Each cell is one run of `irec compress` or `irec decompress`, a process of its own: its seconds, the
processor seconds of all its threads, and the most memory that it ever held, start, verifying and
metadata included. Pictures are parts of a bundled photograph, which mirrored copies enlarge. "B per
pixel" is the memory beyond that of 64x64 pixels, by how many more the model sees: sides of lossy
images are padded to multiples of 64.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from irec.defaults import DEFAULT_EFFORT, SAMPLES

_SIZES = [f"{side}x{side}" for side in (64, 128, 256, 512, 1024, 2048)]
_LEAST = _SIZES[0]
# LossyModel.stride. This process imports nothing large, not even that: the memory that it holds
# when it starts another counts as that one's.
_MULTIPLE = {"lossless": 1, "lossy": 64}


class Cost(NamedTuple):
    """Of one process."""

    seconds: float
    processor_s: float
    peak_bytes: int


def main() -> None:
    """Print one table for each kind of file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="+", default=_SIZES, help="HEIGHTxWIDTH")
    parser.add_argument("--kinds", nargs="+", choices=_MULTIPLE, default=list(_MULTIPLE))
    parser.add_argument("--effort", type=int, default=DEFAULT_EFFORT)
    chosen = parser.parse_args()
    each = "s | processor s | MB | B per pixel"
    with tempfile.TemporaryDirectory() as folder:
        for kind in chosen.kinds:
            print(f"\n| {kind}, height x width | compress, {each} | decompress, {each} |")
            print(f"|---|{'---|' * 8}", flush=True)
            _costs(Path(folder), _LEAST, kind, chosen.effort)  # compiles at the first use
            least = _costs(Path(folder), _LEAST, kind, chosen.effort)
            for size in (_LEAST, *(size for size in chosen.sizes if size != _LEAST)):
                costs = least if size == _LEAST else _costs(Path(folder), size, kind, chosen.effort)
                more = _pixels_seen(size, kind) - _pixels_seen(_LEAST, kind)
                cells = [_cells(*pair, more) for pair in zip(costs, least, strict=True)]
                print(f"| {size.replace('x', ' x ')} | {' | '.join(cells)} |", flush=True)


def _cells(cost: Cost, least: Cost, more_pixels: int) -> str:
    more_bytes = cost.peak_bytes - least.peak_bytes
    each = f"{more_bytes / more_pixels:.0f}" if more_pixels > 0 else "-"
    return f"{cost.seconds:.1f} | {cost.processor_s:.1f} | {cost.peak_bytes / 1e6:.0f} | {each}"


def _costs(folder: Path, size: str, kind: str, effort: int) -> tuple[Cost, Cost]:
    """Compress and decompress one picture."""
    image, file, back = (folder / f"image.{suffix}" for suffix in ("png", "irec", "ppm"))
    Image.fromarray(_picture(*_sides(size))).save(image)
    flags = ["--lossy"] if kind == "lossy" else []
    there = _run("compress", image, "-o", file, "--effort", effort, *flags)
    return there, _run("decompress", file, "-o", back)


def _run(*arguments: object) -> Cost:
    command = [sys.executable, "-m", "irec", *map(str, arguments), "--force", "--quiet"]
    start = time.perf_counter()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command)}: exit code {process.returncode}")
    # In KiB on Linux, in bytes on macOS.
    unit = 1 if sys.platform == "darwin" else 1024
    return Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit)


def _picture(height: int, width: int) -> np.ndarray:
    """Return a part of a photograph, of its middle as far as it goes, uint8 [height, width, 3]."""
    pixels = np.asarray(Image.open(SAMPLES / "astronaut.png").convert("RGB"))
    return pixels[_places(height, pixels.shape[0])][:, _places(width, pixels.shape[1])]


def _places(n: int, n_there: int) -> np.ndarray:
    """Return which rows to take for n, there and back again where there are not so many."""
    places = (np.arange(n) + max(0, n_there - n) // 2) % (2 * n_there)
    return np.minimum(places, 2 * n_there - 1 - places)


def _sides(size: str) -> tuple[int, int]:
    height, width = map(int, size.split("x"))
    return height, width


def _pixels_seen(size: str, kind: str) -> int:
    height, width = (-(-side // _MULTIPLE[kind]) * _MULTIPLE[kind] for side in _sides(size))
    return height * width


if __name__ == "__main__":
    main()
