"""What lossy models share in training: objective, target rate, schedule, figures.

Where a rate is asked for, lambda is steered towards it: after each step it is multiplied by
(target / measured)^0.001, bits per pixel of the batches of all ranks. So a rate that is twice the
target halves lambda within some 1,000 steps, slowly enough for the weights to follow. Steering
starts once the weight of the bits has risen to one. A run's checkpoints have the lambda of their
step; its figures of validation keep the one that the run began with, so that they compare.
"""

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float, UInt8
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn

from irec.errors import DataError, InvalidParameterError
from irec.lightning_modules.training import TrainingModule
from irec.metrics.ms_ssim import MS_SSIM_MIN_SIDE, SCALE_WEIGHTS, batch_ms_ssim
from irec.models.lossy_model import LossyModel, lambda_at
from irec.models.sources import PosteriorSampler, PriorSampler

Schedule = Literal["constant", "cosine"]

# What is left of the learning rate at the end of a cosine.
_LAST_RATE = 0.01
# Share of the full weight of the bits with which annealing begins.
_FIRST_KL_WEIGHT = 0.1
# By how much of the relative error of a step's rate lambda changes.
_STEERING = 1e-3
# Lambda stays within this factor of what it began at, however far a target is out of reach.
_MAX_STEERED = 1e3
# A rate of zero has no logarithm.
_LEAST_BPP = 1e-6
# A dimension with more KL than this is in use.
_ACTIVE_NATS = 0.01
# Of MS-SSIM's scales, in the paper's code.
_ONES = (1.0,) * len(SCALE_WEIGHTS)
# Least mean of a scale: fractional powers of less have gradients without bound.
_MS_SSIM_FLOOR = 1e-4


class Terms(NamedTuple):
    """What the objective consists of, for each of n images.

    Attributes:
        image: Decoded from one posterior sample, in grey levels, [n, 3, h, w].
        bpp: KL divergence of each latent tensor in bits per pixel, [tensors, n].
        mse: Mean squared error in squared grey levels, [n].
        active: Share of each latent tensor's dimensions that are in use, [tensors, n].
    """

    image: Tensor
    bpp: Tensor
    mse: Tensor
    active: Tensor


class LossyModule(TrainingModule):
    """A lossy model trained on lambda * distortion + bits per pixel; a subclass says which."""

    model: LossyModel
    log_steered: Tensor

    def __init__(
        self,
        architecture: type[nn.Module],
        config: Any,
        learning_rate: float,
        schedule: Schedule = "constant",
        warmup_steps: int = 0,
        anneal_steps: int = 0,
        target_bpp: float | None = None,
        **options: Any,
    ) -> None:
        """Set up model and recipe.

        Args:
            architecture: Of the model.
            config: A dataclass; without effect where a checkpoint is named.
            learning_rate: At its highest.
            schedule: "constant", or "cosine" down to a hundredth at the last step.
            warmup_steps: Steps over which the learning rate rises from zero.
            anneal_steps: Steps over which the weight of the bits rises from a tenth to one.
            target_bpp: Bits per pixel of training crops that lambda is steered towards, from the
                one in `lambdas`: for models of one rate.
            **options: Of :class:`TrainingModule`.

        Raises:
            InvalidParameterError: `target_bpp` is not positive, or the model has several lambdas.
        """
        super().__init__(architecture, config, **options)
        lambdas = self.model.config.lambdas
        if target_bpp is not None and len(lambdas) > 1:
            raise InvalidParameterError(
                f"a model of {len(lambdas)} lambdas has as many rates, so none can be its target: "
                "leave --model.target_bpp out, or give --model.lambdas one to begin with"
            )
        if target_bpp is not None and not 0.0 < target_bpp < math.inf:
            raise InvalidParameterError(
                f"target_bpp {target_bpp}: a positive number of bits per pixel is needed"
            )
        self.save_hyperparameters(
            {
                "learning_rate": learning_rate,
                "schedule": schedule,
                "warmup_steps": warmup_steps,
                "anneal_steps": anneal_steps,
                "target_bpp": target_bpp,
            }
        )
        # Of the lambda at which training began; kept in checkpoints as the model's lambda.
        self.register_buffer("log_steered", torch.zeros(()), persistent=False)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Let the model have the lambda that it was steered to: its files are made for that."""
        if self.hparams["target_bpp"] is not None:
            steered = math.exp(self.log_steered.item())
            checkpoint["hyper_parameters"]["lambdas"] = [self.model.config.lambdas[0] * steered]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with the lambda of the checkpoint, where it is steered."""
        if self.hparams["target_bpp"] is not None:
            found = checkpoint["hyper_parameters"]
            began = list(self.model.config.lambdas)
            if len(found.get("lambdas", [])) == 1:
                self.log_steered.fill_(math.log(found["lambdas"][0] / began[0]))
                checkpoint = {"hyper_parameters": {**found, "lambdas": began}}
        super().on_load_checkpoint(checkpoint)

    def _steer(self, bpp: Tensor) -> None:
        """Move lambda towards where the rate is the target, given a step's rate."""
        if self.hparams["target_bpp"] is None:
            return
        self.log("train/lambda", self.model.config.lambdas[0] * self.log_steered.exp())
        if self.annealed(_FIRST_KL_WEIGHT) == 1.0:
            found = self.mean_over_ranks(bpp).clamp(min=_LEAST_BPP)
            error = math.log(self.hparams["target_bpp"]) - found.log()
            limit = math.log(_MAX_STEERED)
            self.log_steered.add_(_STEERING * error).clamp_(-limit, limit)

    def _check_crops(self, images: UInt8[Tensor, "n 3 h w"]) -> None:
        """Say what is wrong with crops that the model or the distortion is not defined on."""
        height, width = images.shape[2:]
        if height % self.model.stride or width % self.model.stride:
            needed = f"sides that are multiples of {self.model.stride}"
        elif self.model.config.distortion != "mse" and min(height, width) < MS_SSIM_MIN_SIDE:
            needed = f"{MS_SSIM_MIN_SIDE} pixels or more, for MS-SSIM"
        else:
            return
        raise DataError(
            f"lossy models need crops of {needed}, not {height}x{width}: see --data.crop_size"
        )

    def terms(
        self, images: UInt8[Tensor, "n 3 h w"], anchor_position: Float[Tensor, " n"]
    ) -> Terms:
        """Return what the objective consists of, at one posterior sample of each image."""
        self._check_crops(images)
        pixels = images.float().contiguous(memory_format=self.memory_format)
        source = PosteriorSampler()
        decoded = self.model(pixels, source, anchor_position)
        nats = torch.stack([kl.float().sum((1, 2, 3)) for kl in source.kl_nats])
        bpp = nats / math.log(2.0) / (images.shape[2] * images.shape[3])
        mse = (decoded - pixels).square().mean((1, 2, 3))
        active = [(kl > _ACTIVE_NATS).float().mean((1, 2, 3)) for kl in source.kl_nats]
        return Terms(decoded, bpp, mse, torch.stack(active))

    def distortion(self, terms: Terms, images: UInt8[Tensor, "n 3 h w"]) -> Float[Tensor, " n"]:
        """Return what lambda is the price of: see `distortion` of the model."""
        if self.model.config.distortion == "mse":
            return terms.mse
        weights = _ONES if self.model.config.distortion == "ms_ssim_unweighted" else SCALE_WEIGHTS
        return 255.0 * (1.0 - _ms_ssim(terms.image, images, weights))

    def objective(
        self, distortion: Float[Tensor, " n"], bpp: Float[Tensor, " n"], trade_off: Tensor
    ) -> Float[Tensor, ""]:
        """Return the mean of lambda * distortion + bits per pixel, as training weighs images."""
        lambdas = self.model.config.lambdas
        # Otherwise images that are given many bits would count for more than the others.
        weight = (math.sqrt(lambdas[0] * lambdas[-1]) / trade_off).sqrt()
        return (weight * (trade_off * distortion + bpp)).mean()

    def training_step(self, batch: UInt8[Tensor, "n 3 h w"], batch_idx: int) -> Tensor:
        """Loss of a batch, each image with a lambda of its own where the model serves several."""
        lambdas = self.model.config.lambdas
        anchor_position = torch.rand(len(batch), device=self.device) * (len(lambdas) - 1)
        trade_off = lambda_at(anchor_position, lambdas) * self.log_steered.exp()
        terms = self.terms(batch, anchor_position)
        distortion = self.distortion(terms, batch)
        bpp, kl_weight = terms.bpp.sum(0), self.annealed(_FIRST_KL_WEIGHT)
        self.log("train/bpp", bpp.detach().mean(), prog_bar=True)
        self.log("train/psnr_db", _psnr_db(terms.mse).detach().mean(), prog_bar=True)
        self.log_dict(
            {
                "train/bpp_z2": terms.bpp[0].detach().mean(),
                "train/bpp_z1": terms.bpp[1:].sum(0).detach().mean(),
                "train/loss": (trade_off * distortion + bpp).detach().mean(),
                "train/kl_weight": kl_weight,
            }
        )
        self._steer(bpp.mean())
        return self.objective(distortion, kl_weight * bpp, trade_off)

    def evaluate(self, batch: UInt8[Tensor, "n 3 h w"]) -> dict[str, Tensor]:
        """Return rates and distortions of one posterior sample at each of the model's lambdas."""
        found: dict[str, Tensor] = {}
        losses = []
        for index, trade_off in enumerate(self.model.config.lambdas):
            terms = self.terms(batch, torch.full((len(batch),), float(index), device=self.device))
            levels = ((terms.image.round().clamp(0, 255) - batch).square()).mean((1, 2, 3))
            figures = {"bpp": terms.bpp.sum(0), "psnr_db": _psnr_db(levels)}
            figures |= {f"bpp_{name}": bpp for name, bpp in self._parts(terms.bpp).items()}
            figures |= self._active_dimensions(terms.active, *batch.shape[2:])
            if min(batch.shape[2:]) >= MS_SSIM_MIN_SIDE:
                ms_ssim = _ms_ssim(terms.image, batch)
                figures["ms_ssim_db"] = -10.0 * torch.log10(1.0 - ms_ssim)
            for name, value in figures.items():
                found[f"{name}/lambda_{trade_off:g}"] = value.mean()
            losses.append((trade_off * self.distortion(terms, batch) + figures["bpp"]).mean())
        return {**found, "loss": torch.stack(losses).mean()}

    def _parts(self, of_tensors: Float[Tensor, "tensors n"]) -> dict[str, Float[Tensor, " n"]]:
        """Add latent tensors up by what they are for."""
        return {"z2": of_tensors[0], "z1": of_tensors[1:].sum(0)}

    def _active_dimensions(
        self, shares: Float[Tensor, "tensors n"], height: int, width: int
    ) -> dict[str, Float[Tensor, " n"]]:
        """Return the share of dimensions that are in use, of the tensors of each part."""
        n_dims = shares.new_tensor(self.model.n_latent_dims(height, width))[:, None]
        n_active, n_all = self._parts(shares * n_dims), self._parts(n_dims)
        return {f"active_dimensions_{name}": n_active[name] / n_all[name] for name in n_all}

    @torch.no_grad()
    def reconstruct(self, images: UInt8[Tensor, "n 3 h w"]) -> UInt8[Tensor, "n 3 h w"]:
        """Images through one posterior sample each, at rates from the lowest to the highest."""
        highest = len(self.model.config.lambdas) - 1
        anchor_position = torch.linspace(0.0, float(highest), len(images), device=images.device)
        decoded = self.model(images.float(), PosteriorSampler(), anchor_position)
        return decoded.round().clamp(0, 255).byte()

    @torch.no_grad()
    def sample(self, n: int, height: int, width: int) -> UInt8[Tensor, "n 3 h w"]:
        """Images that the model dreams up: both latent tensors from their priors."""
        highest = len(self.model.config.lambdas) - 1
        anchor_position = torch.linspace(0.0, float(highest), n, device=self.device)
        decoded = self.model.generate(PriorSampler(), None, height, width, anchor_position)
        return decoded.round().clamp(0, 255).byte()

    def make_optimizer(self) -> torch.optim.Optimizer:
        """Return what trains the parameters."""
        return torch.optim.Adam(self.parameters(), self.hparams["learning_rate"])

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Set the optimiser up, with warm-up and the schedule that was asked for."""
        optimizer = self.make_optimizer()
        # A plain function: of a method, checkpoints would hold what decorators left on it.
        scheduler = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: self._rate_factor(step)
        )
        return self.step_by_step(optimizer, scheduler)

    def _rate_factor(self, step: int) -> float:
        warmup_steps = self.hparams["warmup_steps"]
        factor = min(1.0, (step + 1) / warmup_steps) if warmup_steps else 1.0
        if self.hparams["schedule"] == "cosine":
            done = min(1.0, step / self.trainer.estimated_stepping_batches)
            cosine = 0.5 * (1.0 + math.cos(math.pi * done))
            factor *= _LAST_RATE + (1.0 - _LAST_RATE) * cosine
        return factor


def _psnr_db(mse: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    return 10.0 * torch.log10(255.0**2 / mse.clamp(min=1e-10))


def _ms_ssim(
    decoded: Float[Tensor, "n 3 h w"],
    images: UInt8[Tensor, "n 3 h w"],
    weights: Sequence[float] = SCALE_WEIGHTS,
) -> Float[Tensor, " n"]:
    """MS-SSIM of decoded images and their originals; its gradient stays finite."""
    # Half precision has too few digits for variances, which are differences of large numbers.
    with torch.autocast(decoded.device.type, enabled=False):
        levels = decoded.float().clamp(0.0, 255.0)
        return batch_ms_ssim(levels, images.float(), weights, _MS_SSIM_FLOOR)
