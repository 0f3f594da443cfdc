"""The two-level VAE as a LightningModule."""

from collections.abc import Sequence
from typing import Any

from irec.lightning_modules.lossy import LossyModule
from irec.models.lossy_model import Distortion
from irec.models.two_level_vae import TwoLevelVAE, TwoLevelVAEConfig


class TwoLevelVAEModule(LossyModule):
    """The lossy model: a two-level VAE trained on lambda * distortion + bits per pixel."""

    model: TwoLevelVAE

    def __init__(
        self,
        channels: int = 196,
        latent_channels: int = 196,
        hyper_channels: int = 128,
        lambdas: Sequence[float] = (0.01,),
        distortion: Distortion = "mse",
        learning_rate: float = 1e-4,
        **options: Any,
    ) -> None:
        """Set up model and recipe; the defaults are the paper's (arXiv 2010.01185, appendix).

        Args:
            channels: Of the hidden layers of analysis and synthesis.
            latent_channels: Of the lower latent tensor, at 1/16 of the resolution.
            hyper_channels: Of the upper latent tensor, at 1/64, and of the hyper transforms.
            lambdas: Trade-offs between distortion and bits, ascending. One trains a model of one
                rate; several train a model for all rates between the first and the last.
            distortion: "mse" is 255^2 MSE of images in [0, 1]; "ms_ssim" is 255 (1 - MS-SSIM);
                "ms_ssim_unweighted" is the same with all exponents one, as in the paper.
            learning_rate: Of Adam.
            **options: Of :class:`LossyModule`.
        """
        config = TwoLevelVAEConfig(
            channels, latent_channels, hyper_channels, tuple(lambdas), distortion
        )
        super().__init__(TwoLevelVAE, config, learning_rate, **options)
