"""Time and loss of the beam search, compiled and in torch, side by side in one process.

    OMP_NUM_THREADS=1 python benchmarks/search.py --candidates 64 256 --beams 16 256

and what the two orders lose, as :class:`irec.coding.CoderSettings` has it:

    OMP_NUM_THREADS=1 python benchmarks/search.py --compiled-only --tensors 1 --kl 20000 \
        --dims 65536 --candidates 256 --beams 16 64 256

Posteriors are those of ``irec benchmark coder``: a few of many dimensions hold most of the KL.
Times are processor time of the search alone, without what is drawn and planned before it; "loss" is
(nats sent - log-ratio of the sample) / KL.
"""

import argparse
import importlib
import itertools
import math
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.distributions import Normal

from irec.coding import CoderSettings, SearchSettings, TensorCode, encode_batch
from irec.commands.benchmark import synthetic_posterior

searches = importlib.import_module("irec.coding.find_paths")


def main() -> None:
    """Print a line for each combination of the arguments."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kl", type=float, nargs="+", default=[30.0, 300.0, 1000.0])
    parser.add_argument("--dims", type=int, nargs="+", default=[4096])
    parser.add_argument("--candidates", type=int, nargs="+", default=[64])
    parser.add_argument("--beams", type=int, nargs="+", default=[256])
    parser.add_argument("--orders", nargs="+", default=["block", "step"])
    parser.add_argument("--tensors", type=int, default=4)
    parser.add_argument("--compiled-only", action="store_true", help="do not search in torch")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    print("kl dims order M B | torch us/nat | compiled us/nat | ratio | loss %, standard error")
    combinations = itertools.product(
        chosen.kl, chosen.dims, chosen.orders, chosen.candidates, chosen.beams
    )
    for kl_nats, n_dims, order, n_candidates, n_beams in combinations:
        coder = CoderSettings(candidates_per_step=n_candidates, order=order)
        search = SearchSettings(n_beams=n_beams)
        posterior, prior = posteriors(kl_nats, n_dims, chosen.tensors)

        def encode(
            posterior: Normal = posterior,
            prior: Normal = prior,
            coder: CoderSettings = coder,
            search: SearchSettings = search,
        ) -> list[TensorCode]:
            return encode_batch(posterior, prior, 0, coder=coder, search=search)

        encode()  # compiles at the first use
        compiled_s, codes = timed(searches._find_on_cores, encode)
        torch_s = math.nan
        if not chosen.compiled_only:
            torch_s, _ = timed(searches.find_together, encode)
        losses = [
            100.0 * (code.n_bits(coder) * math.log(2.0) - (code.log_ratio_nats or 0.0)) / kl_nats
            for code in codes
        ]
        error = statistics.stdev(losses) / math.sqrt(len(losses)) if len(losses) > 1 else math.nan
        us_per_nat = 1e6 / (kl_nats * chosen.tensors)
        print(
            f"{kl_nats:g} {n_dims} {order} {n_candidates} {n_beams} | {torch_s * us_per_nat:.1f} | "
            f"{compiled_s * us_per_nat:.1f} | {torch_s / compiled_s:.1f} | "
            f"{statistics.mean(losses):.1f} {error:.1f}",
            flush=True,
        )


def posteriors(kl_nats: float, n_dims: int, n: int) -> tuple[Normal, Normal]:
    """Return n posteriors and their standard normal priors, ``[n, n_dims]``."""
    made = [synthetic_posterior(kl_nats, n_dims, seed)[0] for seed in range(n)]
    mean = torch.stack([one.loc for one in made])
    scale = torch.stack([one.scale for one in made])
    return Normal(mean, scale), Normal(torch.zeros_like(mean), torch.ones_like(mean))


def timed(
    find: Callable[..., Any], encode: Callable[[], list[TensorCode]]
) -> tuple[float, list[TensorCode]]:
    """Return the processor time that encoding spends in the search `find`, and the codes."""
    spent: list[float] = []

    def timed_find(*arguments: Any) -> Any:
        start = time.process_time()
        found = find(*arguments)
        spent.append(time.process_time() - start)
        return found

    with searching_with(timed_find):
        codes = encode()
    return sum(spent), codes


@contextmanager
def searching_with(find: Callable[..., Any]) -> Iterator[None]:
    """Let encoders on CPUs search by another function."""
    usual = searches._find_on_cores
    searches._find_on_cores = find
    try:
        yield
    finally:
        searches._find_on_cores = usual


if __name__ == "__main__":
    main()
