"""Training and evaluation of the lattice RVAE: bits per dimension, Muon."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, UInt8
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor

from irec.errors import InvalidParameterError
from irec.lightning_modules.muon import Muon, hidden_kernels, others
from irec.lightning_modules.training import TrainingModule
from irec.models.lattice import PHASES
from irec.models.lattice_rvae import N_LEVELS, LatticeRVAE, LatticeRVAEConfig
from irec.models.sources import (
    KnownPixels,
    PosteriorSampler,
    PredictedPixels,
    PriorSampler,
    SampledPixels,
)

# Luma of ITU-R BT.601, as Pillow's mode "L" has it.
_LUMA = (0.299, 0.587, 0.114)
_WARM_UP_STEPS = 200
# Layers of the model that turn pixels into features, and features into mixtures.
_OUTER_LAYERS = ("enter", "leave", "look", "infer", "prior", "back")


class Terms(NamedTuple):
    """What the objective consists of, in bits per dimension of each image, [n].

    Attributes:
        nll: -log2 p of the pixels given those before them and z.
        kl: Of all latent tensors.
        levels: Nll of the coarsest pixels, then of each level from coarse to fine.
    """

    nll: Tensor
    kl: Tensor
    levels: list[Tensor]


class LatticeRVAEModule(TrainingModule):
    """The lossless model that codes each pixel in the context of its neighbours."""

    model: LatticeRVAE
    monitored = "val/bpd"

    def __init__(
        self,
        channels: int = 64,
        n_components: int = 4,
        blocks_per_level: Sequence[int] = (1, 2, 2),
        latent_levels: Sequence[int] = (),
        latent_channels: int = 8,
        learning_rate: float = 2e-3,
        decay_share: float = 0.3,
        grey_share: float = 0.12,
        channels_last: bool = True,
        **options: Any,
    ) -> None:
        """Set up model and recipe.

        Args:
            channels: Of the features that run through all phases and levels.
            n_components: Of each pixel's mixture of logistics.
            blocks_per_level: Residual blocks in each phase of the finest level, the next, and so
                on; all further levels share the last one's weights.
            latent_levels: Levels that begin with a latent tensor, the coarsest (5) first; level 0
                has cells of 2x2 pixels, each next one twice the size.
            latent_channels: Stochastic channels of each.
            learning_rate: Of Muon, after 200 steps of warming up.
            decay_share: Last part of the run in which the learning rate falls to zero.
            grey_share: Share of batches that are made grey, so that one model knows both kinds.
            channels_last: Whether convolutions work on [n, h, w, c] in memory.
            **options: Of :class:`TrainingModule`.

        Raises:
            InvalidParameterError: A share is not between 0 and 1, or levels are out of order.
        """
        config = LatticeRVAEConfig(
            channels, n_components, blocks_per_level, latent_levels, latent_channels
        )
        for name, share in (("decay_share", decay_share), ("grey_share", grey_share)):
            if not 0.0 <= share <= 1.0:
                raise InvalidParameterError(f"{name} {share}: a share from 0 to 1 is needed")
        super().__init__(LatticeRVAE, config, channels_last=channels_last, **options)
        self.save_hyperparameters(
            {
                "learning_rate": learning_rate,
                "decay_share": decay_share,
                "grey_share": grey_share,
            }
        )

    def terms(self, images: UInt8[Tensor, "n 3 h w"], is_grey: bool = False) -> Terms:
        """Return what the objective consists of; grey images cost what their luma costs."""
        pixels = images.float().contiguous(memory_format=self.memory_format)
        if is_grey:
            pixels = grey(pixels)
        n_channels = 1 if is_grey else 3
        latents, known = PosteriorSampler(), KnownPixels(pixels, n_channels)
        flags = pixels.new_full((len(pixels),), float(is_grey))
        size = (pixels.shape[2], pixels.shape[3])
        self.model.generate(latents, known, size, flags, pixels)
        to_bpd = 1.0 / (n_channels * size[0] * size[1] * math.log(2.0))
        coarsest, *phases = [nats * to_bpd for nats in known.nats]
        each = len(PHASES)
        levels = [sum(phases[each * i : each * (i + 1)], phases[0] * 0) for i in range(N_LEVELS)]
        kl = sum((kl.float().sum((1, 2, 3)) for kl in latents.kl_nats), coarsest * 0)
        return Terms(sum(levels, coarsest), kl * to_bpd, [coarsest, *levels])

    def training_step(self, batch: Tensor | Sequence[Tensor], batch_idx: int) -> Tensor:
        """Loss in bits per dimension: the mean over batches of several sizes, where there are."""
        batches = [batch] if isinstance(batch, Tensor) else batch
        is_grey = bool(torch.rand(()) < self.hparams["grey_share"])
        terms = [self.terms(images, is_grey) for images in batches]
        nll = torch.stack([one.nll.mean() for one in terms]).mean()
        kl = torch.stack([one.kl.mean() for one in terms]).mean()
        if not is_grey:
            self.log("train/bpd", (nll + kl).detach(), prog_bar=True)
            self.log_dict({"train/nll_bpd": nll.detach(), "train/kl_bpd": kl.detach()})
        return nll + kl

    def evaluate(self, batch: UInt8[Tensor, "n 3 h w"]) -> dict[str, Tensor]:
        """Return bits per dimension, by level and of the latents."""
        terms = self.terms(batch)
        names = ["coarsest", *(f"level_{level}" for level in reversed(range(N_LEVELS)))]
        return {
            "bpd": (terms.nll + terms.kl).double().mean(),
            "kl_bpd": terms.kl.mean(),
            **{
                f"bpd_of/{name}": bits.mean()
                for name, bits in zip(names, terms.levels, strict=True)
            },
        }

    @torch.no_grad()
    def reconstruct(self, images: UInt8[Tensor, "n 3 h w"]) -> UInt8[Tensor, "n 3 h w"]:
        """Each pixel as the model expects it, given the true ones before it."""
        pixels = images.float()
        predicted = PredictedPixels(pixels)
        grey = pixels.new_zeros(len(pixels))
        size = (pixels.shape[2], pixels.shape[3])
        self.model.generate(PosteriorSampler(), predicted, size, grey, pixels)
        return predicted.expected.round().byte()

    @torch.no_grad()
    def sample(self, n: int, height: int, width: int) -> UInt8[Tensor, "n 3 h w"]:
        """Images that the model dreams up, phase by phase."""
        grey = torch.zeros(n, device=self.device)
        size = (height, width)
        return self.model.generate(PriorSampler(), SampledPixels(size), size, grey).byte()

    def make_optimizer(self) -> Muon:
        """Return what trains the parameters."""
        kernels = hidden_kernels(self.model, _OUTER_LAYERS)
        rest = others(self.parameters(), kernels)
        groups = [{"params": rest, "lr": self.hparams["learning_rate"]}]
        return Muon(kernels, groups, weight_decay=1e-4)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Muon; the learning rate rises for 200 steps, stays, and falls to zero at the end."""
        optimizer = self.make_optimizer()
        n_steps = float(self.trainer.estimated_stepping_batches)
        n_decay = self.hparams["decay_share"] * n_steps

        def factor(step: int) -> float:
            left = (n_steps - step) / n_decay if math.isfinite(n_decay) and n_decay else 1.0
            return min(1.0, (step + 1) / _WARM_UP_STEPS, max(left, 0.0))

        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return self.step_by_step(optimizer, scheduler)


def grey(pixels: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 h w"]:
    """Return the luma of pixels, in whole grey levels, in all three channels."""
    parts = (weight * colour for weight, colour in zip(_LUMA, pixels.unbind(1), strict=True))
    return sum(parts, pixels.new_zeros(())).round().clamp(0.0, 255.0)[:, None].expand(-1, 3, -1, -1)
