"""Go on training a shipped model on one GPU, each step one CUDA graph.

    python examples/train_in_cuda_graphs.py rvae-photo data/photos data/cifar10/train.npy \
        --val data/val --minutes 8 -o further.ckpt
    irec export further.ckpt -o checkpoints/mine --images data/photos

For lattice RVAEs (lossless) and transform VAEs (lossy). The networks are small: a large GPU is
idle most of the time while `irec fit` launches a step's thousands of kernels one by one. A graph
launches all of them at once. Objective, optimiser and averaged weights are those of `irec fit` in
bfloat16; learning rates follow the clock: constant for the first half, then falling in a line to
nothing. Without a GPU the same steps run in float32, as they are.
"""

import argparse
import copy
import math
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from irec.datamodules.image_files import list_images, read_array, read_rgb
from irec.datamodules.image_store import scaled
from irec.errors import CheckpointError, DataError, IrecError
from irec.files import unfinished
from irec.lightning_modules.lattice_rvae import LatticeRVAEModule, grey
from irec.lightning_modules.muon import Muon
from irec.lightning_modules.transform_vae import TransformVAEModule
from irec.models.lattice_rvae import LatticeRVAE
from irec.models.lossy_model import lambda_at
from irec.models.transform_vae import TransformVAE
from irec.models.zoo import load_checkpoint

WARMUP_STEPS = 200
AVERAGING = 0.999
GRADIENT_NORM = 1.0
EXPOSED_SHARE = 0.25
REPORT_EVERY_S = 30.0


class Crops:
    """Random crops, cut where the images lie: in the device's memory."""

    def __init__(
        self, source: Path, scales: Sequence[float], side: int, batch: int, device: str
    ) -> None:
        """Load the images of a folder or a .npy array at all scales.

        Raises:
            DataError: An image is absent, damaged, or too small.
        """
        images = images_of(source, math.ceil(side / min(scales)))
        self.n_images, self.side, self.batch, self.device = len(images), side, batch, device
        self.scales = [
            _in_one_tensor([scaled(image, scale) for image in images], device) for scale in scales
        ]

    def draw(self, is_turned: bool) -> Tensor:
        """Cut a batch [n, 3, side, side] at one scale, half of it mirrored, or turned as well."""
        pixels, sizes = self.scales[int(torch.randint(len(self.scales), ()))]
        which = torch.randint(self.n_images, (self.batch,), device=self.device)
        room = sizes[which] - self.side + 1
        first = (torch.rand(self.batch, 2, device=self.device) * room).long()
        places = torch.arange(self.side, device=self.device)
        rows, columns = first[:, :1] + places, first[:, 1:] + places
        columns = torch.where(self._half(1), columns.flip(1), columns)
        crops = pixels[which[:, None, None], :, rows[:, :, None], columns[:, None, :]]
        crops = crops.permute(0, 3, 1, 2)
        if not is_turned:
            return crops
        crops = torch.where(self._half(3), crops.flip(2), crops)
        return torch.where(self._half(3), crops.mT, crops)

    def _half(self, n_axes: int) -> Tensor:
        return torch.rand(self.batch, *[1] * n_axes, device=self.device) < 0.5


def images_of(source: Path, least: int) -> list[np.ndarray]:
    """Read the images of a folder or a .npy array; both sides must have at least so many pixels."""
    images = []
    for name, image in list_images(source):
        images.append(read_rgb(image) if isinstance(image, Path) else image)
        height, width = images[-1].shape[:2]
        if min(height, width) < least:
            raise DataError(
                f"{source}: {name} is {height}x{width}; at least {least}x{least} pixels are needed"
            )
    if not images:
        raise DataError(f"{source}: no images")
    return images


def _in_one_tensor(images: Sequence[np.ndarray], device: str) -> tuple[Tensor, Tensor]:
    """Images [n, 3, h, w], each in the upper left corner, and their heights and widths [n, 2]."""
    sizes = torch.tensor([image.shape[:2] for image in images])
    height, width = sizes.amax(0).tolist()
    pixels = torch.zeros(len(images), 3, height, width, dtype=torch.uint8)
    for place, image in zip(pixels, images, strict=True):
        inside = place[:, : image.shape[0], : image.shape[1]]
        inside.copy_(torch.tensor(image).permute(2, 0, 1))
    return pixels.to(device), sizes.to(device)


class Recipe(Protocol):
    """What a kind of model is trained on.

    Attributes:
        scales: Of the images that crops are cut from.
        stride: Sides of crops are multiples of it.
        side: Of crops, where nothing else is asked for.
        module: The model.
    """

    scales: Sequence[float]
    stride: int
    side: int
    module: LatticeRVAEModule | TransformVAEModule

    def draw(self, crops: Sequence[Crops]) -> list[Tensor]:
        """Return the batches of a step."""
        ...

    def loss(self, batches: Sequence[Tensor]) -> Tensor:
        """Return what a step makes smaller."""
        ...

    def report(self, module: torch.nn.Module, images: Sequence[Tensor]) -> str:
        """Tell how good a copy of the module is."""
        ...


class Lossless:
    """Bits per dimension, of each source's images alike; an eighth of the first source's grey.

    A quarter is exposed too long or too briefly, until parts are flat. Few photographs have such
    parts, and of what a model hardly sees it soon says anything: after 14,000 steps without this,
    brightened grey crops took thousands of bits per dimension.
    """

    scales = (1.0, 0.5, 0.25)
    stride, side = 1, 96
    grey_share = 0.125

    def __init__(self, checkpoint: str) -> None:
        """Load the model."""
        self.module = LatticeRVAEModule(checkpoint=checkpoint, channels_last=True)

    def draw(self, crops: Sequence[Crops]) -> list[Tensor]:
        """Return grey crops of the first source, then those in colour of each."""
        colour = [exposed(one.draw(is_turned=True)) for one in crops]
        n_grey = math.ceil(self.grey_share * len(colour[0]))
        return [colour[0][:n_grey], colour[0][n_grey:], *colour[1:]]

    def loss(self, batches: Sequence[Tensor]) -> Tensor:
        """Return the mean over sources."""
        bits = [
            (terms.nll + terms.kl).mean()
            for terms in (self.module.terms(one, n == 0) for n, one in enumerate(batches))
        ]
        in_colour = torch.stack(bits[1:]).mean()
        return self.grey_share * bits[0] + (1.0 - self.grey_share) * in_colour

    def report(self, module: LatticeRVAEModule, images: Sequence[Tensor]) -> str:
        """Bits per dimension of each image, in the mean."""
        found = []
        for batch in images:
            terms = module.terms(batch)
            found.append(terms.nll + terms.kl)
        return f"loss {torch.cat(found).mean():.5f} bits per dimension"


def exposed(images: Tensor) -> Tensor:
    """Brighten or darken some images [n, 3, h, w], with clipping."""
    each = (len(images), 1, 1, 1)
    gain = torch.exp2(torch.empty(each, device=images.device).uniform_(-1.5, 1.5))
    offset = torch.empty(each, device=images.device).uniform_(-64.0, 64.0)
    # Grey levels become ranges, or no brightened image would have those between.
    levels = images + torch.rand(images.shape, device=images.device) - 0.5
    changed = (gain * levels + offset).round().clamp(0.0, 255.0).byte()
    return torch.where(torch.rand(each, device=images.device) < EXPOSED_SHARE, changed, images)


class Lossy:
    """Lambda times distortion, and bits per pixel, at lambdas between the model's; few are grey."""

    scales = (1.0, 0.84, 0.7, 0.58)
    stride, side = TransformVAE.stride, 256
    grey_share = 0.04

    def __init__(self, checkpoint: str) -> None:
        """Load the model."""
        self.module = TransformVAEModule(checkpoint=checkpoint, channels_last=True)
        self.lambdas = torch.tensor(self.module.model.config.lambdas)

    def draw(self, crops: Sequence[Crops]) -> list[Tensor]:
        """Return the crops of all sources: they must be of one size."""
        drawn = torch.cat([one.draw(is_turned=False) for one in crops])
        self.lambdas = self.lambdas.to(drawn.device)
        is_grey = torch.rand(len(drawn), 1, 1, 1, device=drawn.device) < self.grey_share
        return [torch.where(is_grey, grey(drawn.float()).byte(), drawn)]

    def loss(self, batches: Sequence[Tensor]) -> Tensor:
        """Return the objective of `irec fit`."""
        (images,) = batches
        anchor_position = torch.rand(len(images), device=images.device) * (len(self.lambdas) - 1)
        terms = self.module.terms(images, anchor_position)
        distortion = self.module.distortion(terms, images)
        trade_off = lambda_at(anchor_position, self.lambdas)
        return self.module.objective(distortion, terms.bpp.sum(0), trade_off)

    def report(self, module: TransformVAEModule, images: Sequence[Tensor]) -> str:
        """Rate and distortion at each anchor, and the objective."""
        config = module.model.config
        worst, parts, losses = 255.0**2 if config.distortion == "mse" else 255.0, [], []
        for anchor, trade_off in enumerate(config.lambdas):
            found = []
            for batch in images:
                anchor_position = torch.full((len(batch),), float(anchor), device=batch.device)
                terms = module.terms(batch, anchor_position)
                found.append(torch.stack([terms.bpp.sum(0), module.distortion(terms, batch)]))
            bpp, distortion = torch.cat(found, 1)
            losses.append((trade_off * distortion + bpp).mean().item())
            quality_db = 10.0 * torch.log10(worst / distortion)
            parts.append(f"{bpp.mean():.4f} {quality_db.mean():.3f}")
        return f"loss {np.mean(losses):.5f}; bpp, dB: " + ", ".join(parts)


def recipe_for(checkpoint: str) -> Recipe:
    """Choose the recipe by the kind of model that a checkpoint holds."""
    model = load_checkpoint(checkpoint).model
    if isinstance(model, LatticeRVAE):
        return Lossless(checkpoint)
    if isinstance(model, TransformVAE):
        return Lossy(checkpoint)
    raise CheckpointError(
        f"{checkpoint} holds a {type(model).__name__}: this script trains lattice RVAEs and "
        "transform VAEs; irec fit trains the others"
    )


class Training:
    """A model, its averaged weights, and a step of training, on a GPU as one graph."""

    def __init__(self, recipe: Recipe, crops: Sequence[Crops], rate: float, device: str) -> None:
        """Record the step; what is done while recording counts as steps too."""
        self.recipe, self.crops, self.base_rate = recipe, crops, rate
        self.device = torch.device(device)
        self.module = recipe.module.to(device).train()
        self.averaged = copy.deepcopy(self.module).requires_grad_(False)
        self.optimizer: Muon = self.module.make_optimizer()
        for group in self.optimizer.param_groups:
            group["share"] = group["lr"] / self.module.hparams["learning_rate"]
            group["lr"] = torch.zeros((), device=device)
        # A graph reads from where these lie.
        self.batches = recipe.draw(crops)
        self.mean_loss = torch.zeros((), device=device)
        self._step: Callable[[], None] = self._eager
        if device == "cuda":
            self._record()

    def step(self, factor: float) -> None:
        """Train on new crops, at so many times the base learning rate."""
        for place, batch in zip(self.batches, self.recipe.draw(self.crops), strict=True):
            place.copy_(batch)
        for group in self.optimizer.param_groups:
            group["lr"].fill_(factor * self.base_rate * group["share"])
        self._step()

    def _eager(self) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        self._forward_and_backward()

    def _forward_and_backward(self) -> None:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            loss = self.recipe.loss(self.batches)
        loss.backward()
        parameters: list[Tensor] = list(self.module.parameters())
        torch.nn.utils.clip_grad_norm_(parameters, GRADIENT_NORM)
        self.optimizer.step()
        with torch.no_grad():
            averaged: list[Tensor] = list(self.averaged.parameters())
            torch._foreach_lerp_(averaged, parameters, 1.0 - AVERAGING)
            self.mean_loss.lerp_(loss.detach(), 0.01)

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


def validation_batches(source: Path, stride: int, device: str) -> list[Tensor]:
    """Images, a few of one size together; sides are cut to multiples of the stride."""
    groups: dict[tuple[int, ...], list[np.ndarray]] = {}
    for image in images_of(source, stride):
        height, width = (side // stride * stride for side in image.shape[:2])
        groups.setdefault((height, width), []).append(image[:height, :width])
    return [
        batch
        for images in groups.values()
        for batch in _in_one_tensor(images, device)[0].split(8 if source.is_dir() else 200)
    ]


def crops_of(source: Path, recipe: Recipe, side: int, batch: int, device: str) -> Crops:
    """Load a source; images of an array, used at scale 1, may be smaller than `side`.

    Where the model takes any size, that is; a batch then has more of them, so that pixels are as
    many.
    """
    if source.suffix != ".npy":
        return Crops(source, recipe.scales, side, batch, device)
    smallest = min(read_array(source).shape[1:3])
    if recipe.stride == 1 and smallest < side:
        side, batch = smallest, batch * (side // smallest) ** 2
    return Crops(source, [1.0], side, batch, device)


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; what makes no sense ends the program."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("checkpoint", help="name or folder of the checkpoint to go on from")
    parser.add_argument("sources", nargs="+", type=Path, help="folders and .npy arrays of images")
    parser.add_argument(
        "--val", type=Path, nargs="+", required=True, help="images that are never trained on"
    )
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument(
        "--side",
        type=int,
        help="of crops, in pixels; images need 4 times as many for lattice RVAEs, 1.8 times for "
        "transform VAEs, since they are scaled down too (default: 96 and 256)",
    )
    parser.add_argument("--rate", type=float, default=1.5e-3, help="learning rate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, required=True)
    asked = parser.parse_args(arguments)
    if asked.batch < 2:
        parser.error(f"--batch {asked.batch}: at least 2 is needed")
    if not 0.0 < asked.minutes < math.inf:
        parser.error(f"--minutes {asked.minutes}: a positive number is needed")
    if asked.output.exists():
        parser.error(f"{asked.output} exists: name another --output, or remove it")
    return asked


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, report, save."""
    asked = parsed(arguments)
    torch.manual_seed(asked.seed)
    torch.backends.cudnn.benchmark = True
    device = "cuda" if torch.cuda.is_available() else "cpu"
    recipe = recipe_for(asked.checkpoint)
    side = recipe.side if asked.side is None else asked.side
    if side < 16 or side % recipe.stride:
        sys.exit(f"--side {side}: 16 or more, and a multiple of {recipe.stride}, is needed")
    crops = [crops_of(source, recipe, side, asked.batch, device) for source in asked.sources]
    val = {source: validation_batches(source, recipe.stride, device) for source in asked.val}
    began = time.perf_counter()
    training = Training(recipe, crops, asked.rate, device)
    n_images = sum(one.n_images for one in crops)
    print(f"{n_images} images; recorded in {time.perf_counter() - began:.1f} s", flush=True)

    def report() -> str:
        with torch.no_grad():
            found = (
                f"{source.stem} {recipe.report(training.averaged, batches)}"
                for source, batches in val.items()
            )
            return "; ".join(found)

    print(f"at first: {report()}", flush=True)
    # What stands in the way of saving is known before the training.
    save(training.averaged, asked.output)
    began, n_steps, reported = time.perf_counter(), 0, 0.0
    while (done := (time.perf_counter() - began) / (60.0 * asked.minutes)) < 1.0:
        warm = min(1.0, (n_steps + 1) / WARMUP_STEPS)
        training.step(warm * min(1.0, 2.0 * (1.0 - done)))
        n_steps += 1
        if n_steps % 50 == 0:
            # The clock runs with the device, not ahead of it.
            loss = training.mean_loss.item()
            elapsed = time.perf_counter() - began
            if elapsed - reported > REPORT_EVERY_S:
                reported = elapsed
                print(f"{elapsed:.0f} s, step {n_steps}, train {loss:.4f}; {report()}", flush=True)
                save(training.averaged, asked.output)
    print(f"{n_steps} steps; {report()}")
    save(training.averaged, asked.output)


def save(module: torch.nn.Module, path: Path) -> None:
    """Write what `irec export` reads; it rounds weights to float16 as here."""
    state = {name: value.half().cpu() for name, value in module.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    with unfinished(path) as part:
        torch.save({"hyper_parameters": dict(module.hparams), "state_dict": state}, part)


if __name__ == "__main__":
    try:
        main()
    except IrecError as error:
        sys.exit(str(error))
