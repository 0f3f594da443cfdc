"""Loss and time of the coder on a checkpoint's posteriors, over its constants and the encoder's.

    OMP_NUM_THREADS=1 python benchmarks/posteriors.py transform-vae-photo --images FOLDER \
        --side 384 --quality 50 --beams 256 512 --min-dims 64 96
    OMP_NUM_THREADS=1 python benchmarks/posteriors.py rvae-small --images FOLDER --side 32

Choose on photographs that no figure is published of. What is not given is the profile's, and the
default effort's beams. "loss" is (nats sent - log-ratio of the sample) / KL of all tensors, with
the standard error over images; "sent" is nats sent / KL - 1; "tensors" are the losses of each
tensor; time is processor time of encoding, what is drawn and planned before the search included.
"""

import argparse
import itertools
import math
import statistics
import time
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from irec.codec import make_codec
from irec.coding import (
    CoderSettings,
    SearchSettings,
    decode_batch,
    encode_batch,
    kl_nats,
    log_ratio_nats,
)
from irec.commands.benchmark_posteriors import Pair, posteriors_of
from irec.images import image_paths
from irec.models.zoo import load_checkpoint


@dataclass(frozen=True)
class Outcome:
    """Of one tensor of one image."""

    kl: float
    sent: float
    log_ratio: float
    seconds: float


def main() -> None:
    """Print a line for each combination of the arguments."""
    default = SearchSettings()
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("checkpoint")
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--n-images", type=int, default=8)
    parser.add_argument("--side", type=int, default=384)
    parser.add_argument("--quality", type=float)
    parser.add_argument("--candidates", type=int, nargs="+")
    parser.add_argument("--steps", type=int, nargs="+")
    parser.add_argument("--steps-per-rho-index", type=int, nargs="+")
    parser.add_argument("--min-dims", type=int, nargs="+")
    parser.add_argument("--beams", type=int, nargs="+", default=[default.n_beams])
    parser.add_argument(
        "--negligible", type=float, nargs="+", default=[default.negligible_kl_fraction]
    )
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message=".*miss their posteriors")
    codec = make_codec(load_checkpoint(chosen.checkpoint))
    images = [
        posteriors_of(codec, path, chosen.side, chosen.quality)
        for path in image_paths(chosen.images)[: chosen.n_images]
    ]
    usual = codec.profile.coder
    print("M, K, K per rho, dims, beams, negligible | loss %, error | sent % | us/nat | tensors %")
    code(images[0][:1], usual, SearchSettings(4))  # compiles at the first use
    for m, k, per_rho, dims, beams, negligible in itertools.product(
        chosen.candidates or [usual.candidates_per_step],
        chosen.steps or [usual.steps_per_block],
        chosen.steps_per_rho_index or [usual.steps_per_rho_index],
        chosen.min_dims or [usual.min_dims_per_block],
        chosen.beams,
        chosen.negligible,
    ):
        coder = replace(
            usual,
            candidates_per_step=m,
            steps_per_block=k,
            steps_per_rho_index=per_rho,
            min_dims_per_block=dims,
        )
        search = SearchSettings(beams, negligible)
        outcomes = [code(pairs, coder, search) for pairs in images]
        print(m, k, per_rho, dims, beams, negligible, "|", line(outcomes), flush=True)


def code(pairs: list[Pair], coder: CoderSettings, search: SearchSettings) -> list[Outcome]:
    """Code an image's tensors."""
    outcomes = []
    for tensor, (posterior, prior) in enumerate(pairs):
        start = time.process_time()
        codes = encode_batch(posterior, prior, 0, tensor=tensor, coder=coder, search=search)
        seconds = time.process_time() - start
        z = decode_batch(codes, prior, 0, tensor=tensor, coder=coder)
        sent = codes[0].n_bits(coder) * math.log(2.0)
        log_ratio = float(log_ratio_nats(z, posterior, prior))
        outcomes.append(Outcome(float(kl_nats(posterior, prior)), sent, log_ratio, seconds))
    return outcomes


def line(images: list[list[Outcome]]) -> str:
    """Return what there is to say of all images."""
    everything = [one for outcomes in images for one in outcomes]
    kl = sum(one.kl for one in everything)
    losses = [loss(outcomes) for outcomes in images]
    error = statistics.stdev(losses) / math.sqrt(len(losses)) if len(losses) > 1 else math.nan
    tensors = " ".join(f"{loss(of_all):.1f}" for of_all in zip(*images, strict=True))
    sent = 100.0 * (sum(one.sent for one in everything) / kl - 1.0)
    time_us = 1e6 * sum(one.seconds for one in everything) / kl
    return f"{loss(everything):.2f} {error:.2f} | {sent:.1f} | {time_us:.1f} | {tensors}"


def loss(outcomes: "list[Outcome] | tuple[Outcome, ...]") -> float:
    """Return the share of the KL that is sent in vain, per cent."""
    waste = sum(one.sent - one.log_ratio for one in outcomes)
    return 100.0 * waste / sum(one.kl for one in outcomes)


if __name__ == "__main__":
    main()
