"""What steps of refinement win: python benchmarks/refinement.py [IMAGE ...] [--steps 0 8 16].

Behind `_REFINEMENT_STEPS` and `_BITS_SENT_PER_BIT` (irec/codec/lossy.py). The objective is that of
training, lambda 255^2 MSE + bits per pixel, of exact samples; 0 steps are 100 %. "sent" is what the
coder sends for a bit of KL, at the effort that is given.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from irec.codec.lossy import LossyCodec
from irec.defaults import DEFAULT_LOSSY_CHECKPOINT, SAMPLES
from irec.images import read_image
from irec.models.zoo import load_checkpoint


def main() -> None:
    """Print one line for each number of steps and each quality."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", nargs="*", type=Path, default=sorted(SAMPLES.glob("*.png")))
    parser.add_argument("--checkpoint", default=DEFAULT_LOSSY_CHECKPOINT)
    parser.add_argument("--steps", type=int, nargs="+", default=[0, 4, 8, 16, 24])
    parser.add_argument("--qualities", type=float, nargs="+", default=[10.0, 60.0])
    parser.add_argument("--side", type=int, default=256, help="of the middle that is taken")
    parser.add_argument("--effort", type=int, default=5)
    chosen = parser.parse_args()
    checkpoint = load_checkpoint(chosen.checkpoint)
    images = [_middle(read_image(path), chosen.side) for path in chosen.images]
    print("| quality | steps | objective | seconds per image | sent |\n|---|---|---|---|---|")
    for quality in chosen.qualities:
        first: float | None = None
        for n_steps in chosen.steps:
            codec = LossyCodec(
                checkpoint, effort=chosen.effort, refinement_steps=n_steps, verify=False
            )
            start = time.process_time()
            objective, sent = zip(*(_of(codec, one, quality) for one in images), strict=True)
            seconds = (time.process_time() - start) / len(images)
            mean = float(np.mean(objective))
            first = first or mean
            print(
                f"| {quality:g} | {n_steps} | {mean / first:.2%} | {seconds:.1f} "
                f"| {np.mean(sent):.3f} |",
                flush=True,
            )


def _of(codec: LossyCodec, image: np.ndarray, quality: float) -> tuple[float, float]:
    """Objective, and bits that the coder sends for a bit of KL."""
    encoded = codec.encode(image, quality)
    ideal = codec.ideal(image, quality, n_samples=2, encoded=encoded)
    errors = [np.square(image.astype(float) - sample).mean() for sample in ideal.pixels]
    trade_off = codec.describe(encoded.data).trade_off
    assert trade_off is not None
    bpp = ideal.kl_bits / (image.shape[0] * image.shape[1])
    return trade_off * float(np.mean(errors)) + bpp, encoded.index_bits / ideal.kl_bits


def _middle(image: np.ndarray, side: int) -> np.ndarray:
    top, left = ((n - side) // 2 for n in image.shape[:2])
    return np.ascontiguousarray(image[max(0, top) :, max(0, left) :][:side, :side])


if __name__ == "__main__":
    main()
