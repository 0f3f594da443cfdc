"""What lossy models have in common: two passes, cut where latents stand at 1/16 of the image."""

from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor, nn

from irec.models.latent_source import LatentSource

Distortion = Literal["mse", "ms_ssim"]

# Pixels along a side for each position of what analysis gives and synthesis takes.
POSITION_PIXELS = 16


class LossyModel(nn.Module):
    """Base class: a subclass fills in the parts of the two passes.

    Analysis and synthesis are local: a position depends on pixels of its own 16x16 block and of two
    more on each side, and a pixel likewise on positions. So the codec can run them in bands.

    Attributes:
        config: Has `lambdas`, the anchors of the model's rates, and `distortion`.
        stride: Height and width of an image must be multiples of this.
    """

    config: Any
    stride = 64

    @property
    def n_latent_tensors(self) -> int:
        """How many tensors the generative pass asks a source for."""
        return len(self.n_latent_dims(self.stride, self.stride))

    def n_latent_dims(self, height: int, width: int) -> list[int]:
        """Dimensions of each latent tensor of one image whose sides are multiples of `stride`."""
        raise NotImplementedError

    def analyse(
        self, pixels: Float[Tensor, "n 3 h w"], position: Float[Tensor, " n"]
    ) -> Float[Tensor, "n _c h16 w16"]:
        """Return the local part of :meth:`infer`."""
        raise NotImplementedError

    def evidence(self, analysed: Float[Tensor, "n _c h16 w16"], position: Tensor) -> Any:
        """Return the rest of :meth:`infer`."""
        raise NotImplementedError

    def latents(
        self,
        source: LatentSource,
        evidence: Any,
        height: int,
        width: int,
        position: Float[Tensor, " n"],
    ) -> Float[Tensor, "n _c h16 w16"]:
        """:meth:`generate` as far as the latents, and whatever else the synthesis needs."""
        raise NotImplementedError

    def synthesise(
        self, latents: Float[Tensor, "n _c h16 w16"], position: Float[Tensor, " n"]
    ) -> Float[Tensor, "n 3 h w"]:
        """Return the rest of :meth:`generate`."""
        raise NotImplementedError

    def coefficient_noise(self, position: Float[Tensor, " n"]) -> Tensor | None:
        """Return the standard deviation, [n, c, 1, 1], of the noise of sent coefficients.

        None where the evidence has no attribute `coefficients` whose noisy values are the latents.
        """
        return None

    def infer(self, pixels: Float[Tensor, "n 3 h w"], position: Float[Tensor, " n"]) -> Any:
        """Bottom-up pass.

        Args:
            pixels: Grey levels 0 .. 255 in floating point.
            position: Of each image's lambda among the anchors (`rate_control.anchor_position`).
        """
        return self.evidence(self.analyse(pixels, position), position)

    def generate(
        self,
        source: LatentSource,
        evidence: Any,
        height: int,
        width: int,
        position: Float[Tensor, " n"],
    ) -> Float[Tensor, "n 3 h w"]:
        """Top-down pass, the same for sampling, encoding and decoding.

        Args:
            source: Asked for one latent tensor after the other.
            evidence: Of :meth:`infer`, or None where no image is at hand.
            height: Of the images in pixels, a multiple of `stride`.
            width: likewise.
            position: As for :meth:`infer`; its length is the number of images.

        Returns:
            The images in grey levels, neither rounded nor clipped to 0 .. 255.
        """
        return self.synthesise(self.latents(source, evidence, height, width, position), position)

    def forward(
        self, pixels: Float[Tensor, "n 3 h w"], source: LatentSource, position: Float[Tensor, " n"]
    ) -> Float[Tensor, "n 3 h w"]:
        """Inference followed by generation: what training and encoding run."""
        height, width = pixels.shape[2:]
        return self.generate(source, self.infer(pixels, position), height, width, position)
