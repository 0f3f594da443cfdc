"""``irec benchmark``: measure parts of irec without images, weights or a network."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table
from torch.distributions import Normal

from irec.coding import CoderSettings, SearchSettings
from irec.coding.faithful import FaithfulSettings
from irec.commands.benchmark_posteriors import (
    Coder,
    benchmark_posteriors,
    our_coder,
    paper_coder,
    posteriors_table,
)
from irec.commands.benchmark_training import benchmark_training
from irec.commands.endings import Commands, UsageError
from irec.commands.endpoints import check_target
from irec.commands.options import ForceOption, JsonRowsOption, count_option, number, write_rows
from irec.terminal import show_table, table_of

_KL_NATS = (30.0, 100.0, 300.0)
_N_DIMS, _N_TENSORS = 1000, 3
# Of the middles of images, where a model's posteriors are measured.
_SIDE = 64
_CODERS = {
    "paper": paper_coder(FaithfulSettings()),
    "default": our_coder(CoderSettings(), SearchSettings()),
}

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="markdown",
    help="Measure parts of irec by themselves.",
)
app.command("training")(benchmark_training)


@dataclass(frozen=True)
class CoderRow:
    """Means over the coded tensors; a coder is good if sent_nats - log_ratio_nats is small."""

    coder: str
    kl_nats: float
    dims: int
    sent_nats: float
    log_ratio_nats: float
    encode_s: float
    decode_s: float


@app.command("coder")
def benchmark_coder(
    json_path: JsonRowsOption = None,
    force: ForceOption = False,
    n_tensors: Annotated[
        int | None,
        count_option(
            f"Without --checkpoint: tensors coded for each row; default: {_N_TENSORS}.", "--tensors"
        ),
    ] = None,
    checkpoint: Annotated[
        str | None,
        typer.Option(metavar="NAME|PATH", help="Measure the posteriors of this model instead."),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(help="With --checkpoint: folder of images. Default: the bundled ones."),
    ] = None,
    side: Annotated[
        int | None,
        count_option(
            f"With --checkpoint: pixels of a side of each image; default: {_SIDE}.", high=512
        ),
    ] = None,
    quality: Annotated[
        float | None,
        typer.Option(
            metavar="Q",
            parser=number(float, 0, 100),
            help="With the --checkpoint of a lossy model: 0 to 100.",
        ),
    ] = None,
    n_beams: Annotated[
        list[int] | None,
        count_option("With --checkpoint: also a search of so many hypotheses.", "--beams"),
    ] = None,
) -> None:
    """Compare irec's coder with the paper's on synthetic Gaussians, or on a model's posteriors.

    What a code costs beyond the ideal is "sent" less "log-ratio". The log-ratio is that of the
    decoded sample, and the 1,000 dimensions, of 30, 100 and 300 nats together, differ widely in how
    much they hold, as a network's do.
    """
    of_models = {"--images": images, "--side": side, "--quality": quality, "--beams": n_beams}
    given = [name for name, value in of_models.items() if value is not None]
    if given and checkpoint is None:
        raise UsageError(f"{', '.join(given)}: only with --checkpoint")
    if n_tensors is not None and checkpoint is not None:
        raise UsageError("--tensors: not with --checkpoint")
    if json_path is not None:
        check_target(json_path, force=force)
    console = Console(stderr=True)
    if checkpoint is not None:
        found = benchmark_posteriors(
            checkpoint, images, side or _SIDE, quality, n_beams or (), console.print
        )
        show_table(posteriors_table(checkpoint, found))
        write_rows(json_path, found)
        return
    rows = []
    for kl_nats in _KL_NATS:
        for name, coder in _CODERS.items():
            with console.status(f"{name} coder, {kl_nats:.0f} nats"):
                rows.append(_measure(name, coder, kl_nats, n_tensors or _N_TENSORS))
            console.print(f"{name} coder, {kl_nats:.0f} nats: done")
    show_table(_table(rows))
    write_rows(json_path, rows)


def synthetic_posterior(kl_nats: float, n_dims: int, seed: int) -> tuple[Normal, Normal]:
    """Return a posterior and its standard normal prior, float64 ``[n_dims]``.

    A dimension's signal-to-noise ratio is exponential noise squared, so that a few dimensions hold
    most of the KL; means are as widely spread as the prior expects of such posteriors.

    Args:
        kl_nats: KL(posterior || prior), met to 1e-9 of itself.
        n_dims: Dimensions.
        seed: Of a generator used here only.
    """
    generator = torch.Generator().manual_seed(seed)
    signal = torch.rand(n_dims, generator=generator, dtype=torch.float64).log().square()
    noise = torch.randn(n_dims, generator=generator, dtype=torch.float64)
    low, high = -30.0, 30.0
    for _ in range(60):  # bisection on the logarithm of the factor
        middle = 0.5 * (low + high)
        variance = 1.0 / (1.0 + signal * 2.0**middle)
        mean = noise * (1.0 - variance).sqrt()
        kl = 0.5 * float((mean.square() + variance - 1.0 - variance.log()).sum())
        low, high = (middle, high) if kl < kl_nats else (low, middle)
    prior = Normal(torch.zeros_like(mean), torch.ones_like(mean), validate_args=False)
    return Normal(mean, variance.sqrt(), validate_args=False), prior


def _measure(name: str, coder: Coder, kl_nats: float, n_tensors: int) -> CoderRow:
    coder.costs([synthetic_posterior(1.0, _N_DIMS, 0)])  # tables are built at the first use
    costs = [
        coder.costs([synthetic_posterior(kl_nats, _N_DIMS, seed)], seed)
        for seed in range(n_tensors)
    ]
    return CoderRow(name, kl_nats, _N_DIMS, *np.mean(costs, axis=0)[1:].tolist())


def _table(rows: list[CoderRow]) -> Table:
    headings = ("coder", "KL", "sent", "log-ratio", "excess / KL", "encode", "decode")
    cells = (
        (
            row.coder,
            f"{row.kl_nats:.0f}",
            f"{row.sent_nats:.1f}",
            f"{row.log_ratio_nats:.1f}",
            f"{100 * (row.sent_nats - row.log_ratio_nats) / row.kl_nats:.1f} %",
            f"{row.encode_s:.3f}",
            f"{row.decode_s:.4f}",
        )
        for row in rows
    )
    title = f"Samples of {_N_DIMS} Gaussian dimensions, nats and seconds"
    return table_of(title, headings, cells)
