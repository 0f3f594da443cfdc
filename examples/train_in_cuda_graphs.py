"""Go on training a transform VAE on one GPU, each step one CUDA graph.

    python examples/train_in_cuda_graphs.py transform-vae-photo data/photos \
        --val data/val --minutes 8 -o further.ckpt
    irec export further.ckpt -o checkpoints/mine --images data/photos

The networks are small: a large GPU is idle most of the time while `irec fit` launches a step's
thousands of kernels one by one. A graph launches all of them at once. Objective, optimiser and
averaged weights are those of `irec fit` in bfloat16; learning rates follow the clock: constant for
the first half, then falling in a line to nothing. Without a GPU the same steps run as they are.
"""

import argparse
import copy
import math
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from irec.datamodules.image_files import read_rgb
from irec.datamodules.image_store import scaled
from irec.errors import DataError, IrecError
from irec.images import image_paths
from irec.lightning_modules.lattice_rvae import grey
from irec.lightning_modules.muon import Muon
from irec.lightning_modules.transform_vae import TransformVAEModule
from irec.models.lossy_model import lambda_at
from irec.models.transform_vae import TransformVAE

WARMUP_STEPS = 200
SCALES = (1.0, 0.84, 0.7, 0.58)
GREY_SHARE = 0.04
AVERAGING = 0.999
GRADIENT_NORM = 1.0
REPORT_EVERY_S = 30.0


class Crops:
    """Random crops, cut where the images lie: in the device's memory."""

    def __init__(self, folders: Sequence[Path], side: int, batch: int, device: str) -> None:
        """Load images, which are of one size, at all scales."""
        images = images_of_one_size(folders)
        least = math.ceil(side / min(SCALES))
        if side % TransformVAE.stride or min(images[0].shape[:2]) < least:
            raise DataError(
                f"crops of {side} pixels: sides are multiples of {TransformVAE.stride}, of images "
                f"of at least {least} pixels, since the smallest scale is {min(SCALES)}"
            )
        self.n_images = len(images)
        self.scales = [
            _as_tensor([scaled(image, scale) for image in images]).to(device) for scale in SCALES
        ]
        self.side, self.batch, self.device = side, batch, device

    def draw(self) -> Tensor:
        """Cut a batch at one scale, mirrored half of the time, some of it grey."""
        images = self.scales[int(torch.randint(len(SCALES), ()))]
        n, _, height, width = images.shape
        which = torch.randint(n, (self.batch,), device=self.device)
        places = torch.arange(self.side, device=self.device)
        rows = torch.randint(height - self.side + 1, (self.batch, 1), device=self.device) + places
        columns = torch.randint(width - self.side + 1, (self.batch, 1), device=self.device) + places
        is_mirrored = torch.rand(self.batch, 1, device=self.device) < 0.5
        columns = torch.where(is_mirrored, columns.flip(1), columns)
        crops = images[which[:, None, None], :, rows[:, :, None], columns[:, None, :]]
        crops = crops.permute(0, 3, 1, 2)
        is_grey = torch.rand(self.batch, 1, 1, 1, device=self.device) < GREY_SHARE
        return torch.where(is_grey, grey(crops.float()).byte(), crops)


def images_of_one_size(folders: Sequence[Path]) -> list[np.ndarray]:
    """Read all images of some folders, and say which is unlike the first."""
    paths = [path for folder in folders for path in image_paths(folder)]
    images = [read_rgb(path) for path in paths]
    for path, image in zip(paths, images, strict=True):
        if image.shape != images[0].shape:
            (height, width), (first_height, first_width) = image.shape[:2], images[0].shape[:2]
            raise DataError(
                f"{path} is {height}x{width}, {paths[0]} is {first_height}x{first_width}: all "
                "images must be of one size, since they lie in one tensor"
            )
    return images


def _as_tensor(images: Sequence[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)


class Training:
    """A model, its averaged weights, and a step of training, on a GPU as one graph."""

    def __init__(self, module: TransformVAEModule, crops: Crops, rate: float) -> None:
        """Record the step; what is done while recording counts as steps too."""
        self.crops, self.base_rate = crops, rate
        device = crops.device
        self.module = module.to(device).train()
        self.averaged = copy.deepcopy(module).requires_grad_(False)
        self.optimizer: Muon = module.make_optimizer()
        for group in self.optimizer.param_groups:
            group["share"] = group["lr"] / module.hparams["learning_rate"]
            group["lr"] = torch.zeros((), device=device)
        self.lambdas = torch.tensor(module.model.config.lambdas, device=device)
        self.images = crops.draw()
        self.loss = torch.zeros((), device=device)
        self._step: Callable[[], None] = self._eager
        if device == "cuda":
            self._record()

    def step(self, factor: float) -> None:
        """Train on a batch, at so many times the base learning rate."""
        self.images.copy_(self.crops.draw())
        for group in self.optimizer.param_groups:
            group["lr"].fill_(factor * self.base_rate * group["share"])
        self._step()

    def _eager(self) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        self._forward_and_backward()

    def _forward_and_backward(self) -> None:
        device, n_gaps = self.images.device, len(self.lambdas) - 1
        anchor_position = torch.rand(len(self.images), device=device) * n_gaps
        trade_off = lambda_at(anchor_position, self.lambdas)
        with torch.autocast(device.type, torch.bfloat16):
            terms = self.module.terms(self.images, anchor_position)
            distortion = self.module.distortion(terms, self.images)
        loss = self.module.objective(distortion, terms.bpp.sum(0), trade_off)
        loss.backward()
        parameters: list[Tensor] = list(self.module.parameters())
        torch.nn.utils.clip_grad_norm_(parameters, GRADIENT_NORM)
        self.optimizer.step()
        with torch.no_grad():
            averaged: list[Tensor] = list(self.averaged.parameters())
            torch._foreach_lerp_(averaged, parameters, 1.0 - AVERAGING)
            self.loss.lerp_(loss.detach(), 0.01)

    def _record(self) -> None:
        # Not at once: before a recording all libraries must have set themselves up.
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(5):
                self._eager()
        torch.cuda.current_stream().wait_stream(stream)
        # The graph repeats what the optimiser does at this step, so let it be one far on.
        for state in self.optimizer.state.values():
            if "step" in state:
                state["step"] = 10_000
        self.optimizer.zero_grad(set_to_none=True)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._forward_and_backward()
        self._step = graph.replay


@torch.no_grad()
def evaluate(module: TransformVAEModule, images: Tensor) -> str:
    """Rate and distortion at each anchor, and the objective."""
    config = module.model.config
    worst, parts, losses = 255.0**2 if config.distortion == "mse" else 255.0, [], []
    for anchor, trade_off in enumerate(config.lambdas):
        found = []
        for batch in images.split(8):
            anchor_position = torch.full((len(batch),), float(anchor), device=batch.device)
            terms = module.terms(batch, anchor_position)
            found.append(torch.stack([terms.bpp.sum(0), module.distortion(terms, batch)]))
        bpp, distortion = torch.cat(found, 1)
        losses.append((trade_off * distortion + bpp).mean().item())
        quality_db = 10.0 * torch.log10(worst / distortion)
        parts.append(f"{bpp.mean():.4f} {quality_db.mean():.3f}")
    return f"loss {np.mean(losses):.5f}; bpp, dB: " + ", ".join(parts)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, report, save."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("checkpoint", help="name or folder of the checkpoint to go on from")
    parser.add_argument("folders", nargs="+", type=Path, help="of images of one size")
    parser.add_argument("--val", type=Path, required=True, help="images that are never trained on")
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument("--side", type=int, default=256, help="of crops, in pixels")
    parser.add_argument("--rate", type=float, default=1.5e-3, help="learning rate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, required=True)
    asked = parser.parse_args(arguments)
    torch.manual_seed(asked.seed)
    torch.backends.cudnn.benchmark = True
    device = "cuda" if torch.cuda.is_available() else "cpu"
    crops = Crops(asked.folders, asked.side, asked.batch, device)
    val = _as_tensor(images_of_one_size([asked.val]))
    height, width = (side // TransformVAE.stride * TransformVAE.stride for side in val.shape[2:])
    val = val[:, :, :height, :width].to(device)
    module = TransformVAEModule(checkpoint=asked.checkpoint, channels_last=True)
    began = time.perf_counter()
    training = Training(module, crops, asked.rate)
    print(f"{crops.n_images} images; recorded in {time.perf_counter() - began:.1f} s", flush=True)
    print(f"at first: {evaluate(training.averaged, val)}", flush=True)
    began, n_steps, reported = time.perf_counter(), 0, 0.0
    while (done := (time.perf_counter() - began) / (60.0 * asked.minutes)) < 1.0:
        warm = min(1.0, (n_steps + 1) / WARMUP_STEPS)
        training.step(warm * min(1.0, 2.0 * (1.0 - done)))
        n_steps += 1
        if n_steps % 50 == 0:
            # The clock runs with the device, not ahead of it.
            loss = training.loss.item()
            elapsed = time.perf_counter() - began
            if elapsed - reported > REPORT_EVERY_S:
                reported = elapsed
                print(
                    f"{elapsed:.0f} s, step {n_steps}, train {loss:.4f}; "
                    f"{evaluate(training.averaged, val)}",
                    flush=True,
                )
                save(training.averaged, asked.output)
    print(f"{n_steps} steps; {evaluate(training.averaged, val)}")
    save(training.averaged, asked.output)


def save(module: TransformVAEModule, path: Path) -> None:
    """Write what `irec export` reads; it rounds weights to float16 as here."""
    state = {name: value.half().cpu() for name, value in module.state_dict().items()}
    torch.save({"hyper_parameters": dict(module.hparams), "state_dict": state}, path)


if __name__ == "__main__":
    try:
        main()
    except IrecError as error:
        sys.exit(str(error))
