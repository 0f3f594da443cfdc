"""Draws the figures of coder.md: python docs/draw_coder.py."""

import math
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from torch.distributions import Normal

from irec.coding import CoderSettings, SearchSettings, decode, encode, kl_nats, log_ratio_nats

FOLDER = Path(__file__).parent
BLUE, VERMILION, GREY = "#0072b2", "#d55e00", "#c4c4c4"


def draw_beam_search(path: Path) -> None:
    """One dimension, posterior N(1.1, 0.15^2), five steps of four candidates, three hypotheses."""
    mean, scale, n_steps, n_candidates, n_kept = 1.1, 0.15, 5, 4, 3
    rng = np.random.default_rng(3)
    used = (1 - scale ** (2 * np.arange(n_steps + 1) / n_steps)) / (1 - scale**2)
    drawing = Figure(figsize=(7.0, 3.2), layout="constrained")
    axes = drawing.subplots()
    hypotheses = [[0.0]]
    for step in range(1, n_steps + 1):
        c, deviation = used[step], math.sqrt(used[step] - used[step - 1])
        variance = c * ((1 - c) + c * scale**2)
        extended = [
            [*one, one[-1] + deviation * rng.standard_normal()]
            for one in hypotheses
            for _ in range(n_candidates)
        ]
        for one in extended:
            axes.plot([step - 1, step], one[-2:], color=GREY, linewidth=0.7, zorder=1)
        score = [
            one[-1] ** 2 / (2 * c) - (one[-1] - c * mean) ** 2 / (2 * variance) for one in extended
        ]
        hypotheses = [extended[i] for i in np.argsort(score)[::-1][:n_kept]]
        for one in hypotheses:
            axes.plot([step - 1, step], one[-2:], color=BLUE, linewidth=0.9, zorder=2)
        spread = math.sqrt(variance)
        axes.fill_between(
            [step - 0.12, step + 0.12],
            c * mean - spread,
            c * mean + spread,
            color=VERMILION,
            alpha=0.2,
            linewidth=0,
        )
    axes.plot(range(n_steps + 1), hypotheses[0], color=BLUE, linewidth=2.4, zorder=3)
    axes.set_xlabel("step")
    axes.set_ylabel("partial sum")
    axes.set_title("blue: kept, bold: sent; red: where the posterior is", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    drawing.savefig(path, metadata={"Date": None})


def draw_effort(path: Path) -> None:
    """(Sent - log-ratio) / KL of tensors of 1,000 dimensions and 100 nats, by effort."""
    generator = torch.Generator().manual_seed(0)
    coder, efforts, n_tensors = CoderSettings(), range(1, 10), 16
    prior = Normal(torch.zeros(1000).double(), torch.ones(1000).double())
    mean = 0.39 * torch.randn(n_tensors, 1000, generator=generator).double()
    losses = []
    for effort in efforts:
        sent = ratio = kl = 0.0
        for number in range(n_tensors):
            posterior = Normal(mean[number], torch.full((1000,), 0.85).double())
            search = SearchSettings.from_effort(effort)
            code = encode(posterior, prior, seed=number, search=search)
            sent += code.n_bits(coder) * math.log(2.0)
            ratio += float(log_ratio_nats(decode(code, prior, seed=number), posterior, prior).sum())
            kl += float(kl_nats(posterior, prior).sum())
        losses.append(100.0 * (sent - ratio) / kl)
    drawing = Figure(figsize=(7.0, 2.8), layout="constrained")
    axes = drawing.subplots()
    axes.plot(efforts, losses, "o-", color=BLUE)
    axes.set_xlabel("effort")
    axes.set_ylabel("lost, % of the KL")
    axes.set_ylim(bottom=0)
    axes.spines[["top", "right"]].set_visible(False)
    drawing.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    import matplotlib

    matplotlib.rcParams["svg.hashsalt"] = "irec"
    draw_beam_search(FOLDER / "beam_search.svg")
    draw_effort(FOLDER / "effort.svg")
