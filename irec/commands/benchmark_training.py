"""``irec benchmark training``: images per second of training steps, in each way to run them."""

import contextlib
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import torch
from rich.console import Console

from irec.commands.endpoints import check_target
from irec.commands.options import (
    DeviceOption,
    ForceOption,
    JsonRowsOption,
    check_device,
    count_option,
    write_rows,
)
from irec.models.likelihoods import LogisticParameters
from irec.models.rvae import RVAE, RVAEConfig
from irec.models.sources import PosteriorSampler
from irec.models.weight_norm import data_dependent_initialisation
from irec.terminal import show_table, table_of

_IMAGE_SIDE = 32
_WARM_UP_STEPS = 3


@dataclass(frozen=True)
class Way:
    """A way to run training steps, and the option of `irec fit` that asks for it."""

    name: str
    options: str
    bf16: bool = False
    channels_last: bool = False
    compiled: bool = False


_WAYS = (
    Way("plain", ""),
    Way("channels_last", "--model.channels_last true", channels_last=True),
    Way("bf16-mixed", "--trainer.precision bf16-mixed", bf16=True),
    Way("compiled", "--model.compile_model true", compiled=True),
    Way("all three", "all of these", bf16=True, channels_last=True, compiled=True),
)


@dataclass(frozen=True)
class TrainingRow:
    """How fast one way is: medians over steps that took turns with those of the other ways."""

    way: str
    options: str
    images_per_s: float
    ratio: float


def benchmark_training(
    n_blocks: Annotated[int, count_option("Of the RVAE.", "--blocks")] = 6,
    hidden: Annotated[int, count_option("Channels.", "--hidden")] = 64,
    latent: Annotated[int, count_option("Channels per block.", "--latent")] = 16,
    batch: Annotated[int, count_option("Images per step.", "--batch")] = 16,
    n_steps: Annotated[int, count_option("Steps timed per way.", "--steps")] = 20,
    device: DeviceOption = "cpu",
    json_path: JsonRowsOption = None,
    force: ForceOption = False,
) -> None:
    """Compare the ways to run training steps: plain, channels_last, bf16-mixed, compiled, all.

    The steps are those of `irec fit` on random images, with the size of `rvae_small.yaml` unless
    you say otherwise: objective, gradients, optimiser; no data loading, no logging.
    """
    check_device(device)
    if json_path is not None:
        check_target(json_path, force=force)
    console = Console(stderr=True)
    config = RVAEConfig(n_blocks, hidden, latent, "conditional_logistic")
    steps = {}
    for way in _WAYS:
        with console.status(f"{way.name}: first steps"):
            steps[way] = _training_step(way, config, batch, device)
            for _ in range(_WARM_UP_STEPS):
                steps[way]()
    seconds: dict[Way, list[float]] = {way: [] for way in _WAYS}
    with console.status("measuring"):
        # In turns, so that a machine that slows down slows all of them.
        for _ in range(n_steps):
            for way, step in steps.items():
                seconds[way].append(_timed(step, device))
    speeds = {way: batch / statistics.median(times) for way, times in seconds.items()}
    plain = speeds[_WAYS[0]]
    rows = [
        TrainingRow(way.name, way.options, speed, speed / plain) for way, speed in speeds.items()
    ]
    headings = ("way", "option of irec fit", "images/s", "ratio")
    cells = ((row.way, row.options, f"{row.images_per_s:.1f}", f"{row.ratio:.2f}") for row in rows)
    show_table(table_of("Training, images of 32x32 pixels", headings, cells, n_names=2))
    write_rows(json_path, rows)


def _training_step(way: Way, config: RVAEConfig, batch: int, device: str) -> Callable[[], None]:
    """Set a fresh model up for `way`; what is returned does one step of training."""
    layout = torch.channels_last if way.channels_last else torch.contiguous_format
    shape = (batch, 3, _IMAGE_SIDE, _IMAGE_SIDE)
    pixels = torch.randint(0, 256, shape, device=device).float().contiguous(memory_format=layout)
    model = RVAE(config).to(device)
    model.to(memory_format=layout)
    with torch.no_grad(), data_dependent_initialisation(model):
        model(pixels, PosteriorSampler())
    if way.compiled:
        model.compile()
    optimizer = torch.optim.Adamax(model.parameters(), lr=1e-3)

    def step() -> None:
        optimizer.zero_grad()
        source = PosteriorSampler()
        with torch.autocast(device, torch.bfloat16) if way.bf16 else contextlib.nullcontext():
            parameters: LogisticParameters = model(pixels, source)
            kl_nats = torch.stack([kl.sum() for kl in source.kl_nats]).sum()
            loss = (kl_nats - parameters.log_prob(pixels).sum()) / batch
        loss.backward()
        optimizer.step()

    return step


def _timed(step: Callable[[], None], device: str) -> float:
    start = time.perf_counter()
    step()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start
