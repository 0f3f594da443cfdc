"""The transform VAE as a LightningModule: its first transform comes from the training images."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor

from irec.lightning_modules.lossy import LossyModule
from irec.lightning_modules.muon import Muon, hidden_kernels, others
from irec.models.block_transform import BLOCK, block_components
from irec.models.lossy_model import Distortion
from irec.models.transform_vae import TransformVAE, TransformVAEConfig

Initialisation = Literal["klt", "random"]

# Blocks whose principal components are taken.
_N_BLOCKS = 40_000
# Layers of the model that begin at zero, or at energies of coefficients.
_OUTER_LAYERS = ("last", "heads", "energies")


class TransformVAEModule(LossyModule):
    """The transform VAE, trained on lambda * distortion + bits per pixel."""

    model: TransformVAE

    def __init__(
        self,
        slices: Sequence[int] = (3, 12, 36, 80, 140, 220, 320),
        interleaved: int = 2,
        hyper_channels: int = 32,
        state_channels: int = 128,
        residual_channels: int = 96,
        lambdas: Sequence[float] = (0.001, 0.003, 0.01, 0.03, 0.08, 0.2),
        distortion: Distortion = "mse",
        initialise: Initialisation = "klt",
        learning_rate: float = 1.5e-3,
        transform_rate: float = 0.05,
        **options: Any,
    ) -> None:
        """Set up model and recipe.

        Args:
            slices: Ends of the slices of the latent channels, ascending; each slice's prior knows
                the slices before it.
            interleaved: How many slices, from the first, are sent in two halves.
            hyper_channels: Of the hyper latents, at 1/64 of the resolution.
            state_channels: Of what the priors know, at 1/16.
            residual_channels: Of the synthesis's correction, at 1/4.
            lambdas: Trade-offs between distortion and bits per pixel, ascending; the model serves
                all between the first and the last.
            distortion: "mse" is 255^2 MSE of images in [0, 1]; "ms_ssim" is 255 (1 - MS-SSIM);
                "ms_ssim_unweighted" is the same with all exponents one, as in the paper.
            initialise: "klt" begins with the principal components of 16x16 blocks of the training
                images, and water levels to match; "random" with random orthonormal vectors.
            learning_rate: Of Muon.
            transform_rate: Factor on the learning rate of the transform, which begins well.
            **options: Of :class:`LossyModule`.
        """
        config = TransformVAEConfig(
            tuple(slices),
            interleaved,
            hyper_channels,
            state_channels,
            residual_channels,
            tuple(lambdas),
            distortion,
        )
        super().__init__(TransformVAE, config, learning_rate, **options)
        self.begins_with_klt = initialise == "klt" and self.checkpoint is None
        self.save_hyperparameters({"transform_rate": transform_rate})

    def on_train_start(self) -> None:
        """Begin a fresh run with the components of all ranks' images, then compile the model."""
        if self.begins_with_klt and self.trainer.global_step == 0:
            components = block_components(self._first_batches(), BLOCK)
            self.model.begin_at(components)
            self.same_on_all_ranks()
        super().on_train_start()

    def _first_batches(self) -> Iterator[Tensor]:
        """Training crops of all ranks together, until there are blocks enough."""
        n_blocks = 0
        for batch in self.trainer.train_dataloader or ():
            of_all_ranks: Any = self.all_gather(batch.to(self.device))
            together = of_all_ranks.reshape(-1, *batch.shape[1:])
            yield together
            n_blocks += len(together) * batch.shape[2] * batch.shape[3] // BLOCK**2
            if n_blocks >= _N_BLOCKS:
                return

    def _parts(self, of_tensors: Float[Tensor, "tensors n"]) -> dict[str, Float[Tensor, " n"]]:
        """Add up z2, z1, and each of its slices, the most telling first."""
        parts, tensor = super()._parts(of_tensors), 1
        for number in range(len(self.model.config.slices)):
            n_halves = 2 if number < self.model.config.interleaved else 1
            parts[f"slice_{number}"] = of_tensors[tensor : tensor + n_halves].sum(0)
            tensor += n_halves
        return parts

    def make_optimizer(self) -> Muon:
        """Return Muon; the transform learns more slowly than the rest."""
        kernels = hidden_kernels(self.model, _OUTER_LAYERS)
        transform = list(self.model.transform.parameters())
        rest = others(self.parameters(), [*kernels, *transform])
        learning_rate: float = self.hparams["learning_rate"]
        slower = self.hparams["transform_rate"] * learning_rate
        return Muon(
            kernels, [{"params": rest, "lr": learning_rate}, {"params": transform, "lr": slower}]
        )
