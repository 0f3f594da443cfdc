"""The authors' grid: overhead and time of the published coder over Omega, epsilon and beams.

    python benchmarks/published_grid.py --images data/cifar10/test.npy --out published_grid

Compresses a few images with the published coder (arXiv 2010.01185) at each point of the grid,
Omega 2 to 6, 1 + epsilon 1, 1.1, 1.2 and 1.5, B 1, 10 and 50, and writes published_grid.csv and
published_grid.png: heat maps of overhead (indices and residual over the negative ELBO) and of
seconds of one core to encode, which others on the machine do not lengthen (with OMP_NUM_THREADS=1).
The whole grid takes long: candidates of a step are exp(Omega (1 + epsilon)), so points of more than
--max-candidates (times beams) are left out and stay white; --beams takes a part. The cheapest come
first, and a table that is there already, of the same images and checkpoint, is drawn and gone on
with.
"""

import argparse
import csv
import itertools
import math
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from irec.codec.reference import ReferenceCodec
from irec.coding.faithful import FaithfulSettings
from irec.datamodules.image_files import read_sources
from irec.models.zoo import load_checkpoint

OMEGAS = (2.0, 3.0, 4.0, 5.0, 6.0)
EXTRA_SAMPLES = (1.0, 1.1, 1.2, 1.5)
BEAMS = (1, 10, 50)

Row = dict[str, float]


def main() -> None:
    """Measure the grid and draw it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--images", type=Path, nargs="+", required=True)
    parser.add_argument("--checkpoint", default="rvae-small")
    parser.add_argument("--n-images", type=int, default=2)
    parser.add_argument("--crop", type=int, default=32, help="images are cut to so many pixels")
    parser.add_argument("--beams", type=int, nargs="+", default=BEAMS, choices=BEAMS)
    parser.add_argument("--max-candidates", type=int, default=40_000, help="per step, times beams")
    parser.add_argument("--out", type=Path, default=Path("published_grid"))
    arguments = parser.parse_args()
    images = [image[: arguments.crop, : arguments.crop] for image in read_sources(arguments.images)]
    table = arguments.out.with_suffix(".csv")
    picture = arguments.out.with_suffix(".png")
    rows = _read(table) if table.exists() else []
    if rows:
        _draw(rows, picture)
    for row in _measure(arguments, images[: arguments.n_images], rows):
        rows.append(row)
        # After each point: whoever stops it has what was measured.
        _write(rows, table)
        _draw(rows, picture)


def _measure(
    arguments: argparse.Namespace, images: list[np.ndarray], known: list[Row]
) -> Iterator[Row]:
    """Yield a row for each point of the grid that is not known, the cheapest first."""
    checkpoint = load_checkpoint(arguments.checkpoint)
    ideals = ReferenceCodec(checkpoint, FaithfulSettings()).ideal_batch(images, n_samples=4)
    ideal = sum(one.total_bits for one in ideals)
    done = {(row["n_beams"], row["omega"], row["extra_samples"]) for row in known}
    points = set(itertools.product(arguments.beams, OMEGAS, EXTRA_SAMPLES)) - done
    for n_beams, omega, extra in sorted(points, key=lambda point: _candidates(*point)):
        if _candidates(n_beams, omega, extra) > arguments.max_candidates:
            return
        codec = ReferenceCodec(checkpoint, _settings(n_beams, omega, extra))
        start = time.process_time()
        encoded = codec.encode_batch(images)
        seconds = (time.process_time() - start) / len(images)
        for image, one in zip(images, encoded, strict=True):
            assert np.array_equal(codec.decode(one.data), image)
        sent = sum(one.index_bits + one.residual_bits for one in encoded)
        row = {"n_beams": n_beams, "omega": omega, "extra_samples": extra}
        row |= {"overhead": sent / ideal - 1.0, "encode_s": seconds}
        print(row, flush=True)
        yield row


def _settings(n_beams: int, omega: float, extra: float) -> FaithfulSettings:
    return FaithfulSettings(omega, extra - 1.0, n_beams)


def _candidates(n_beams: int, omega: float, extra: float) -> int:
    """Return how many candidates a step weighs, for all beams together."""
    return n_beams * _settings(n_beams, omega, extra).n_candidates


def _read(path: Path) -> list[Row]:
    with path.open(newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def _write(rows: list[Row], path: Path) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _draw(rows: list[Row], path: Path) -> None:
    drawing = Figure(figsize=(3.4 * len(BEAMS), 6.4), layout="constrained")
    figures = {"overhead": "overhead (%)", "encode_s": "CPU s/image"}
    for line, (figure, name) in enumerate(figures.items()):
        scale = 100.0 if figure == "overhead" else 1.0
        # Logarithms of what is positive: greedy choices lose ten times what fifty beams do.
        shown = [max(0.1, scale * row[figure]) for row in rows]
        colours = LogNorm(min(shown), max(shown))
        for column, n_beams in enumerate(BEAMS):
            values = np.full((len(EXTRA_SAMPLES), len(OMEGAS)), math.nan)
            for row in rows:
                if row["n_beams"] == n_beams:
                    where = EXTRA_SAMPLES.index(row["extra_samples"]), OMEGAS.index(row["omega"])
                    values[where] = scale * row[figure]
            axes = drawing.add_subplot(2, len(BEAMS), line * len(BEAMS) + column + 1)
            axes.imshow(values, norm=colours, cmap="viridis", aspect="auto")
            for (i, j), value in np.ndenumerate(values):
                if math.isfinite(value):
                    ink = "black" if colours(value) > 0.6 else "white"
                    axes.text(j, i, f"{value:.1f}", ha="center", va="center", color=ink)
            axes.set_xticks(range(len(OMEGAS)), [f"{omega:g}" for omega in OMEGAS])
            axes.set_yticks(range(len(EXTRA_SAMPLES)), [f"{extra:g}" for extra in EXTRA_SAMPLES])
            axes.set(title=f"{name}, B = {n_beams}", xlabel="Omega", ylabel="1 + epsilon")
    drawing.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
