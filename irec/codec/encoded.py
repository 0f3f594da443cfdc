"""What the codec hands out: files with an account of their bits, and the ideal to compare with."""

from dataclasses import dataclass

from irec.bitstream import SectionSizes


@dataclass(frozen=True)
class EncodedImage:
    """A compressed image.

    Attributes:
        data: the bytes of an ``.irec`` file.
        sizes: where they go, in bits.
    """

    data: bytes
    sizes: SectionSizes

    @property
    def file_bits(self) -> int:
        """Size of the file."""
        return 8 * len(self.data)

    @property
    def index_bits(self) -> int:
        """What the latent tensors took."""
        return self.sizes.index_bits

    @property
    def residual_bits(self) -> int:
        """What the pixels took, given the latent tensors."""
        return self.sizes.residual_bits

    @property
    def side_bits(self) -> int:
        """Everything else: header, checksum, steps and rho, padding to whole bytes, alpha."""
        return self.file_bits - self.index_bits - self.residual_bits


@dataclass(frozen=True)
class IdealBits:
    """What a perfect coder would need for an image: the negative ELBO.

    Attributes:
        kl_bits: KL(posterior || prior) of all latent tensors.
        likelihood_bits: -log2 p(colour values | latent tensors).
    """

    kl_bits: float
    likelihood_bits: float

    @property
    def total_bits(self) -> float:
        """The negative ELBO."""
        return self.kl_bits + self.likelihood_bits
