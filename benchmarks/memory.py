"""How much memory an image takes: python benchmarks/memory.py [--checkpoint NAME] [--effort 1].

Each size is encoded, and then decoded, by a process of its own, after a small image has loaded what
any image needs. What the process's peak lies above its peak until then is the image's.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from irec.codec import make_codec
from irec.defaults import DEFAULT_LOSSY_CHECKPOINT
from irec.models.zoo import load_checkpoint

# Squares, and images so thin that the model sees padding for the most part.
_SIZES = ("512x512", "1024x1024", "1x4096", "4096x1", "1x32768", "32768x1")


def main() -> None:
    """Print one line for each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", default=DEFAULT_LOSSY_CHECKPOINT)
    parser.add_argument("--effort", type=int, default=1)
    parser.add_argument("--sizes", nargs="+", default=_SIZES, help="HEIGHTxWIDTH")
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.file:
        print(_peak_of(arguments.checkpoint, arguments.effort, arguments.sizes[0], arguments.file))
        return
    print("| height x width | encode, MB | decode, MB | encode, kB per pixel | decode |")
    print("|---|---|---|---|---|")
    for size in arguments.sizes:
        height, width = map(int, size.split("x"))
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "image.irec"
            found = [_in_a_process(arguments, size, file) for _ in ("encode", "decode")]
        each = [f"{n_bytes / (height * width) / 1e3:.2f}" for n_bytes in found]
        total = [f"{n_bytes / 1e6:.0f}" for n_bytes in found]
        print(f"| {' | '.join([f'{height} x {width}', *total, *each])} |", flush=True)


def _in_a_process(arguments: argparse.Namespace, size: str, file: Path) -> int:
    command = [sys.executable, __file__, "--checkpoint", arguments.checkpoint, "--sizes", size]
    command += ["--effort", str(arguments.effort), "--file", str(file)]
    return int(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout))


def _peak_of(checkpoint: str, effort: int, size: str, file: Path) -> int:
    """Return the bytes that encoding takes, or, where the file is there, decoding."""
    codec = make_codec(load_checkpoint(checkpoint), effort=effort, verify=False)
    codec.decode(codec.encode(_image(16, 16)).data)
    is_there = file.exists()
    image = _image(*map(int, size.split("x")))
    data = file.read_bytes() if is_there else b""
    before = _peak_bytes()
    if is_there:
        codec.decode(data)
    else:
        data = codec.encode(image).data
    peak = _peak_bytes() - before
    file.write_bytes(data)
    return peak


def _image(height: int, width: int) -> np.ndarray:
    """Return a picture with something to code everywhere, uint8 [height, width, 3]."""
    rows, columns = np.mgrid[:height, :width]
    waves = np.sin(0.05 * (rows + 2 * columns)) + np.cos(0.03 * (2 * rows - columns))
    noise = np.random.default_rng(0).normal(0.0, 6.0, (height, width, 3))
    return (127.5 + 50.0 * waves[:, :, None] + noise).round().clip(0, 255).astype(np.uint8)


def _peak_bytes() -> int:
    # In KiB on Linux, in bytes on macOS.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


if __name__ == "__main__":
    main()
