"""Training and evaluation of the RVAE: negative ELBO with free bits, Adamax."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import UInt8
from lightning.pytorch.utilities.seed import isolate_rng
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor

from irec.datamodules.base import run_seed
from irec.lightning_modules.training import TrainingModule
from irec.models.likelihoods import LikelihoodName, LogisticParameters
from irec.models.rvae import RVAE, RVAEConfig
from irec.models.sources import PosteriorSampler, PriorSampler
from irec.models.weight_norm import data_dependent_initialisation, is_initialised

_COLOURS = ("red", "green", "blue")
# Share of the full weight of the KL with which annealing begins.
_FIRST_KL_WEIGHT = 0.01
# A latent channel of a block that holds more of a batch's images than this is in use.
_ACTIVE_NATS = 0.2


class _Terms(NamedTuple):
    """What the objective consists of.

    Attributes:
        distortion: -log p(x | z) of each image in nats, [n].
        kl_nats: For each latent tensor the KL divergence of image and channel, [n, c].
        log_scale: Of the likelihood, [n, 3, h, w].
    """

    distortion: Tensor
    kl_nats: list[Tensor]
    log_scale: Tensor


class RVAEModule(TrainingModule):
    """The lossless model: a ResNet VAE trained on -log p(x|z) + KL(q || p)."""

    model: RVAE
    monitored = "val/bpd"

    def __init__(
        self,
        n_blocks: int = 24,
        hidden_channels: int = 160,
        latent_channels: int = 32,
        likelihood: LikelihoodName = "logistic",
        learning_rate: float = 1e-3,
        milestones: Sequence[int] = (50_000, 100_000, 150_000, 200_000),
        decay: float = 0.3,
        free_bits_nats: float = 0.1,
        kl_weight: float = 1.0,
        anneal_steps: int = 0,
        **options: Any,
    ) -> None:
        """Set up model and recipe; the defaults are the paper's (arXiv 2010.01185, appendix).

        Args:
            n_blocks: Bidirectional residual blocks.
            hidden_channels: Deterministic channels.
            latent_channels: Stochastic channels of each block.
            likelihood: "logistic" (the paper's) or "conditional_logistic".
            learning_rate: Of Adamax.
            milestones: Steps at which the learning rate is multiplied by `decay`.
            decay: That factor.
            free_bits_nats: KL below which a latent channel of a block costs nothing in training
                (sum over positions, mean over the batch).
            kl_weight: Of the KL in the objective; 1 is the negative ELBO.
            anneal_steps: Steps over which that weight rises from a hundredth of itself.
            **options: Of :class:`TrainingModule`.
        """
        config = RVAEConfig(n_blocks, hidden_channels, latent_channels, likelihood)
        super().__init__(RVAE, config, **options)
        # Nothing follows the inference of the topmost block: DDP would wait for these gradients.
        self.model.blocks[-1].up_out.requires_grad_(False)
        self.save_hyperparameters(
            {
                "learning_rate": learning_rate,
                "milestones": list(milestones),
                "decay": decay,
                "free_bits_nats": free_bits_nats,
                "kl_weight": kl_weight,
                "anneal_steps": anneal_steps,
            }
        )

    def on_train_start(self) -> None:
        """Initialise a fresh model from the first batch of all ranks together, then compile it."""
        if not is_initialised(self.model):
            batch = next(iter(self.trainer.train_dataloader or ())).to(self.device)
            of_all_ranks: Any = self.all_gather(batch)
            together = of_all_ranks.reshape(-1, *batch.shape[1:]).float()
            with isolate_rng(), torch.no_grad(), data_dependent_initialisation(self.model):
                torch.manual_seed(run_seed())
                self.model(together, PosteriorSampler())
            self.same_on_all_ranks()
        super().on_train_start()

    def _terms(self, images: UInt8[Tensor, "n 3 h w"]) -> _Terms:
        pixels = images.float().contiguous(memory_format=self.memory_format)
        source = PosteriorSampler()
        parameters: LogisticParameters = self.model(pixels, source)
        return _Terms(
            -parameters.log_prob(pixels).sum((1, 2)),
            # Sums of half precision would keep three digits.
            [kl.float().sum((2, 3)) for kl in source.kl_nats],
            parameters.log_scale[:, 0].detach(),
        )

    def training_step(self, batch: UInt8[Tensor, "n 3 h w"], batch_idx: int) -> Tensor:
        """Loss in nats per image; logs the bits per dimension of both terms."""
        distortion, kl_nats, _ = self._terms(batch)
        per_channel = torch.stack([kl.mean(0) for kl in kl_nats])
        free_nats = self.hparams["free_bits_nats"]
        # What counts is the mean over the batches of all ranks, as one with all of it would see.
        is_free = self.mean_over_ranks(per_channel) < free_nats
        free = torch.where(is_free, free_nats, per_channel)
        to_bpd = 1.0 / (batch[0].numel() * math.log(2.0))
        nll, kl = distortion.mean().detach() * to_bpd, per_channel.sum().detach() * to_bpd
        self.log("train/bpd", nll + kl, prog_bar=True)
        loss = distortion.mean() + self.kl_weight() * free.sum()
        self.log_dict(
            {
                "train/nll_bpd": nll,
                "train/kl_bpd": kl,
                "train/loss_bpd": loss.detach() * to_bpd,
                "train/kl_weight": self.kl_weight(),
            }
        )
        return loss

    def kl_weight(self) -> float:
        """Weight of the KL in this step's objective."""
        return self.hparams["kl_weight"] * self.annealed(_FIRST_KL_WEIGHT)

    def evaluate(self, batch: UInt8[Tensor, "n 3 h w"]) -> dict[str, Tensor]:
        """Return bits per dimension of one posterior sample, and the KL of each latent tensor."""
        distortion, kl_nats, log_scale = self._terms(batch)
        nats = [kl.sum(1) for kl in kl_nats]
        total = distortion.double() + torch.stack(nats).double().sum(0)
        active = [(kl.mean(0) > _ACTIVE_NATS).float().mean() for kl in kl_nats]
        scales = zip(_COLOURS, log_scale.exp().mean((0, 2, 3)), strict=True)
        return {
            "bpd": total.mean() / (batch[0].numel() * math.log(2.0)),
            **{f"kl_nats/tensor_{index:02d}": kl.mean() for index, kl in enumerate(nats)},
            "active_latent_channels": torch.stack(active).mean(),
            **{f"scale_grey_levels/{colour}": scale for colour, scale in scales},
        }

    @torch.no_grad()
    def reconstruct(self, images: UInt8[Tensor, "n 3 h w"]) -> UInt8[Tensor, "n 3 h w"]:
        """Images as the model sees them through one sample of its latent tensors."""
        return self.model(images.float(), PosteriorSampler()).typical().round().byte()

    @torch.no_grad()
    def sample(self, n: int, height: int, width: int) -> UInt8[Tensor, "n 3 h w"]:
        """Images that the model dreams up: all latent tensors from their priors."""
        parameters = self.model.generate(PriorSampler(), None, n, height, width)
        return parameters.typical().round().byte()

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Adamax with the learning rate multiplied by `decay` at each milestone (in steps)."""
        optimizer = torch.optim.Adamax(self.parameters(), lr=self.hparams["learning_rate"])
        scheduler = torch.optim.lr_scheduler.MultiStepLR(
            optimizer, list(self.hparams["milestones"]), gamma=self.hparams["decay"]
        )
        return self.step_by_step(optimizer, scheduler)
