"""The two-level VAE as a LightningModule."""

from collections.abc import Sequence

from irec.lightning_modules.lossy import LossyModule, Schedule
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
        schedule: Schedule = "constant",
        warmup_steps: int = 0,
        anneal_steps: int = 0,
        target_bpp: float | None = None,
        checkpoint: str | None = None,
        compile_model: bool = False,
        channels_last: bool = False,
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
            schedule: "constant", or "cosine" down to a hundredth at the last step.
            warmup_steps: Steps over which the learning rate rises from zero.
            anneal_steps: Steps over which the weight of the bits rises from a tenth to one.
            target_bpp: Bits per pixel of training crops that lambda is steered towards, from the
                one in `lambdas`: for models of one rate.
            checkpoint: Name or folder of an exported checkpoint to start from; it decides the
                model's size and rates. predict needs one.
            compile_model: Whether training goes through torch.compile, which takes a minute first.
            channels_last: Whether convolutions work on [n, h, w, c] in memory: faster on GPUs
                with tensor cores, and in half precision.
        """
        config = TwoLevelVAEConfig(
            channels, latent_channels, hyper_channels, tuple(lambdas), distortion
        )
        super().__init__(TwoLevelVAE, config, checkpoint, compile_model, channels_last, target_bpp)
        self.save_hyperparameters(
            {
                "learning_rate": learning_rate,
                "schedule": schedule,
                "warmup_steps": warmup_steps,
                "anneal_steps": anneal_steps,
            }
        )
