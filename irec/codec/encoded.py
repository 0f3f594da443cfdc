"""What codecs hand out: files with an account of their bits, and the ideal to compare with."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from irec.bitstream import Header, TileCode
from irec.metadata import Metadata
from irec.models.likelihoods import LogisticParameters

# Chances that the format adds to all bins of a value (docs/format.md, Residual 5), and to a bin of
# a component when that becomes its weight.
_FLOOR_BITS, _WEIGHT_FLOOR_BITS = 26, 32


@dataclass(frozen=True)
class Encoded:
    """A compressed image.

    Attributes:
        data: The bytes of an ``.irec`` file.
        sizes: Where they go: bits of each section, by name.
        pixels: uint8 [h, w, c], what the file decodes to (on the same device, if it is lossy).
        quality: 0 to 100 of a lossy file; None where the model has one quality.
        findings: What the encoder sought out for this image, of use to :meth:`Codec.ideal`.
    """

    data: bytes
    sizes: dict[str, int]
    pixels: UInt8[np.ndarray, "h w c"]
    quality: float | None = None
    findings: Any = field(default=None, repr=False, compare=False)

    @property
    def file_bits(self) -> int:
        """Size of the file."""
        return 8 * len(self.data)

    @property
    def index_bits(self) -> int:
        """What the latent tensors took."""
        return self.sizes.get("indices", 0)

    @property
    def residual_bits(self) -> int:
        """What the pixels took, given the latent tensors."""
        return self.sizes.get("residual", 0)

    @property
    def side_bits(self) -> int:
        """Everything else: header, checksum, steps and rho, padding to whole bytes, alpha."""
        return self.file_bits - self.index_bits - self.residual_bits


@dataclass(frozen=True)
class Ideal:
    """What a perfect coder would need: exact posterior samples, at the cost of their KL.

    Attributes:
        kl_bits: KL(posterior || prior) of all latent tensors, averaged over samples.
        likelihood_bits: -log2 p(colour values | latent tensors), likewise, with the floor that
            the format has under each value's chance; 0 of a lossy model.
        pixels: uint8 [h, w, c] decoded from each sample; of a lossy model only.
    """

    kl_bits: float
    likelihood_bits: float = 0.0
    pixels: tuple[UInt8[np.ndarray, "h w c"], ...] = ()

    @property
    def total_bits(self) -> float:
        """The negative ELBO, of the likelihood that files have; of a lossy model the KL."""
        return self.kl_bits + self.likelihood_bits


@dataclass(frozen=True)
class FileDescription:
    """A file's contents.

    Attributes:
        format_version: Of the file.
        header: Image size, colour, model fingerprint, seed.
        checkpoint: Name of the model that decodes the file.
        quality: 0 to 100 of a lossy file; None where its model has one quality.
        trade_off: The lambda that a lossy file was made for.
        tiles: Grid offset, steps and rho of each latent tensor, indices.
        sections: Bits of each part of the file; they sum to 8 x its length.
        shortest_beginning: Of a lossy file, how many of its first bytes decode to something.
        metadata: Colour profile, EXIF and XMP.
    """

    format_version: int
    header: Header
    checkpoint: str
    quality: float | None
    trade_off: float | None
    tiles: list[TileCode]
    sections: dict[str, int]
    shortest_beginning: int | None = None
    metadata: Metadata = field(default_factory=Metadata)


def coded_bits(
    parameters: LogisticParameters, pixels: Float[Tensor, "n 3 h w"], n_channels: int
) -> Float[Tensor, "n h w"]:
    """Return what pixels cost a perfect coder whose mixtures have the format's floor.

    The distribution is :meth:`LogisticParameters.log_prob`'s with a little of a uniform one mixed
    in, channel by channel: no value costs more than 26 bits, however far out it lies.

    Args:
        parameters: Of the pixels.
        pixels: Whole numbers 0 .. 255 in floating point.
        n_channels: 1 counts red alone, as for grey images.
    """
    log_bins = parameters.log_bins(pixels, n_channels)
    log_weight = torch.zeros_like(log_bins[:, :, 0])
    if parameters.logit is not None:
        log_weight = parameters.logit
    floor, weight_floor = (
        log_weight.new_tensor(-bits * math.log(2.0)) for bits in (_FLOOR_BITS, _WEIGHT_FLOOR_BITS)
    )
    nats = torch.full_like(pixels[:, 0], n_channels * math.log1p(256.0 * 2.0**-_FLOOR_BITS))
    for log_bin in log_bins.unbind(2):
        log_weight = torch.log_softmax(log_weight, 1)
        nats = nats - torch.logaddexp(torch.logsumexp(log_weight + log_bin, 1), floor)
        log_weight = log_weight + torch.logaddexp(log_bin, weight_floor)
    return nats * (1.0 / math.log(2.0))
