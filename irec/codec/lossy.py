"""Image -> bytes -> an image like it: the two-level VAE's latents are all that the file holds.

Encoder and decoder run the same generative pass in float64, so that a decoded image differs between
devices only where a value lies within its rounding error of the middle between two grey levels.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from irec.bitstream import (
    MAX_RATE,
    Bitstream,
    Colour,
    Header,
    SideInfoModel,
    TileCode,
    TilePlan,
    compress_alpha,
    decompress_alpha,
    pack,
    shortest_beginning,
)
from irec.codec.bands import analyse, render
from irec.codec.base import DEFAULT_EFFORT, Codec
from irec.codec.channel_groups import GroupedSource, progression
from irec.codec.codes import from_file, to_file
from irec.codec.encoded import EncodedImage
from irec.codec.latent_sources import DecodingSource, EncodingSource
from irec.codec.planes import Planes, join_planes, split_planes
from irec.codec.rates import Rates
from irec.codec.refinement import Refiner, RefiningSource
from irec.codec.tiles import Tile
from irec.coding import CoderSettings, SearchSettings
from irec.errors import (
    BitstreamError,
    CheckpointError,
    CorruptFileError,
    InvalidParameterError,
    IrecError,
)
from irec.models.latent_source import LatentSource, PosteriorSampler
from irec.models.two_level_vae import Z1_PIXELS, Z2_PIXELS, TwoLevelEvidence, TwoLevelVAE
from irec.models.zoo import Checkpoint

# Steps in order let the beginning of a file decode. M = 256 was best for the time: on latents
# of 130,000 nats (sent - log-ratio) / KL with 256 beams is 6.3 % in 36 us a nat, 8.6 % in 31 us
# with M = 64. Blocks must hold enough nats for their most telling dimension: measured on a part of
# kodim07 at quality 100, objective lost per bit of KL with 16 dimensions a block at least and K =
# 12, 20, 32, 48 is 14, 9.1, 9.3, 9.0 %; with 32, 48, 64 dimensions and K = 12 11, 9.6, 8.9 %; with
# 48 and K = 8 9.1 % in the least time.
LOSSY_CODER = CoderSettings(
    candidates_per_step=256, steps_per_block=8, order="step", min_dims_per_block=64
)
# By effort. Each takes about a quarter of a second for a Kodak image on two cores.
_REFINEMENT_STEPS = {1: 0, 2: 2, 3: 4, 4: 6, 5: 10, 6: 14, 7: 20, 8: 28, 9: 40}
# A file that claims more has not been made from an image; this bounds what a decoder allocates.
_MAX_BITS_PER_PIXEL = 32
# What the coder usually sends for a bit of KL; a first guess only.
_BITS_SENT_PER_BIT = 1.06


@dataclass(frozen=True)
class LossyImage(EncodedImage):
    """A compressed image, and what it will look like.

    Attributes:
        pixels: uint8 [h, w, c], equal to what the file decodes to on the same device.
        quality: 0 to 100, or None where the model has one rate.
    """

    pixels: UInt8[np.ndarray, "h w c"]
    quality: float | None


@dataclass(frozen=True)
class IdealImage:
    """What a perfect coder would send: an exact posterior sample at the cost of its KL.

    Attributes:
        kl_bits: KL(posterior || prior) of both latent tensors.
        pixels: uint8 [h, w, c], decoded from the sample.
    """

    kl_bits: float
    pixels: UInt8[np.ndarray, "h w c"]


class LossyCodec(Codec):
    """Compresses images with one checkpoint of a two-level VAE."""

    is_lossy = True

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        effort: int = DEFAULT_EFFORT,
        seed: int = 0,
        verify: bool = True,
        device: str | torch.device = "cpu",
        refinement_steps: int | None = None,
    ) -> None:
        """Set up a codec.

        Args:
            checkpoint: the model; decoding needs the same.
            effort: how hard the encoder searches, 1 (fastest) to 9; each level doubles the time.
            seed: of the shared randomness; stands in the file where it is not 0.
            verify: decode every file and compare before returning it.
            device: where the model and the search run.
            refinement_steps: of descent on each image's own posterior before it is coded (see
                :mod:`irec.codec.refinement`); as `effort` says where it is None.

        Raises:
            InvalidParameterError: `effort` or `refinement_steps` is out of range.
            CheckpointError: the checkpoint is of a lossless model.
        """
        super().__init__(checkpoint, LOSSY_CODER, effort, seed, verify, device)
        # Measured at quality 100 on kodim07 and 13: a quarter fewer beams, 0.1 % of the objective.
        self.search = SearchSettings(n_beams=3 * self.search.n_beams // 4)
        if not isinstance(checkpoint.model, TwoLevelVAE):
            raise CheckpointError(
                f"{checkpoint.name} is a lossless model; lossy compression needs a two-level VAE"
            )
        if refinement_steps is None:
            refinement_steps = _REFINEMENT_STEPS[effort]
        elif refinement_steps < 0:
            raise InvalidParameterError(f"there are no {refinement_steps} refinement steps")
        is_refined = checkpoint.model.config.distortion == "mse"
        self.refinement_steps = refinement_steps if is_refined else 0
        self._model, self._estimator = self._copies_of(checkpoint.model)
        self.rates = Rates(checkpoint.model.config.lambdas, checkpoint.name)
        self._groups = checkpoint.coding.channel_groups

    @torch.inference_mode()
    def encode(self, image: UInt8[np.ndarray, "h w c"], quality: float | None = None) -> LossyImage:
        """Compress an image.

        Args:
            image: uint8 [h, w, c] with c = 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGBA); alpha is
                kept without loss.
            quality: 0 (smallest files) to 100 (best images), in steps of 0.5; 50 where it is None.
                A model of one rate takes None only.

        Raises:
            UnsupportedImageError: the image is of another kind.
            InvalidParameterError: the model has no such quality.
        """
        return self._encode(split_planes(image), self.rates.rate_of(quality))

    @torch.inference_mode()
    def encode_within(self, image: UInt8[np.ndarray, "h w c"], max_bpp: float) -> LossyImage:
        """Compress an image at the best quality whose file has at most `max_bpp` bits per pixel.

        Raises:
            UnsupportedImageError: the image is of another kind.
            InvalidParameterError: the model has one rate, or no file is that small.
        """
        if not max_bpp > 0.0:
            raise InvalidParameterError(f"bits per pixel are more than 0, not {max_bpp:g}")
        if not self.rates.has_quality:
            raise InvalidParameterError(f"{self.checkpoint.name} is a model of one rate: no target")
        planes = split_planes(image)
        n_pixels = planes.size[0] * planes.size[1]
        rate, sent_per_bit = MAX_RATE, _BITS_SENT_PER_BIT
        while True:
            # Whatever was too large is ruled out, and tells what the next guess should allow for.
            rate, expected = self._highest_rate_within(
                planes, max_bpp * n_pixels / sent_per_bit, rate
            )
            encoded = self._encode(planes, rate)
            if encoded.file_bits <= max_bpp * n_pixels:
                return encoded
            if rate == 0:
                raise InvalidParameterError(
                    f"the smallest file of this image has {encoded.file_bits / n_pixels:.4f} bits "
                    f"per pixel; {max_bpp:g} are out of this model's reach"
                )
            rate, sent_per_bit = rate - 1, encoded.file_bits / max(expected, 1.0)

    @torch.inference_mode()
    def decode(self, data: bytes, allow_truncated: bool = False) -> UInt8[np.ndarray, "h w c"]:
        """Decompress a file.

        Args:
            data: the whole file, or its beginning.
            allow_truncated: decode a file whose end is missing as far as it goes. Its checksum is
                then of no use: damage in what is left goes unnoticed.

        Returns:
            The image, uint8 [h, w, c].

        Raises:
            BitstreamError: the bytes are damaged, foreign, or need another model or irec.
        """
        stream = self.unpack(data, allow_truncated)
        header, codes = stream.header, from_file(stream.tiles[0].tensors)
        tile = self._tile(header.height, header.width)
        alpha = None
        if stream.alpha is not None:
            alpha = decompress_alpha(stream.alpha, header.height, header.width)
        source = DecodingSource([[code] for code in codes], header.seed, self.coder, True)
        grouped = GroupedSource(source, self._model.n_latent_tensors - 1, self._groups)
        colour = self._generate(grouped, None, tile, header.rate)
        return join_planes(Planes(header.colour, _cut(colour, tile, header.colour), alpha))

    def shortest_beginning(self, data: bytes) -> int:
        """How many bytes of a whole file :meth:`decode` needs with `allow_truncated`."""
        return shortest_beginning(data, self._plan)

    @torch.inference_mode()
    def ideal(
        self, image: UInt8[np.ndarray, "h w c"], quality: float | None = None, seed: int = 0
    ) -> IdealImage:
        """Draw from the exact posterior: what :meth:`encode` would be with a perfect coder.

        Args:
            image: as for :meth:`encode`.
            quality: as for :meth:`encode`.
            seed: of the sample; the global random state stays as it is.
        """
        planes, rate = split_planes(image), self.rates.rate_of(quality)
        tile = self._tile(*planes.size)
        source = PosteriorSampler(torch.Generator(self.device).manual_seed(seed))
        refining = RefiningSource(source, self._refiner(planes, tile, rate))
        position = self._position(rate).float()
        evidence = self._infer(planes, tile, rate)
        size = (tile.padded_height, tile.padded_width)
        with torch.autocast(self.device.type, enabled=False):
            z1 = self._estimator.latents(refining, evidence, *size, position)
            colour = render(self._estimator, z1, position)
        return IdealImage(_bits_of(source), _like(planes, colour, tile))

    def _encode(self, planes: Planes, rate: int) -> LossyImage:
        tile = self._tile(*planes.size)
        source = EncodingSource(self.seed, self.coder, self.search)
        grouped = GroupedSource(source, self._model.n_latent_tensors - 1, self._groups)
        refining = RefiningSource(grouped, self._refiner(planes, tile, rate))
        colour = self._generate(refining, self._infer(planes, tile, rate), tile, rate)
        header = Header(
            *planes.size,
            colour=planes.colour,
            fingerprint=self.checkpoint.fingerprint,
            lossy=True,
            rate=rate,
            seed=self.seed,
            log2_candidates=self.coder.bits_per_step,
        )
        codes = TileCode(to_file([codes[0] for codes in source.codes]))
        alpha = None if planes.alpha is None else compress_alpha(planes.alpha)
        data = pack(Bitstream(header, [codes], alpha=alpha), self._tile_plan(header))
        pixels = _like(planes, colour, tile)
        encoded = LossyImage(data, self.sizes(data), pixels, self.rates.quality_of(rate))
        if self.verify:
            self._verify(encoded)
        return encoded

    def _infer(self, planes: Planes, tile: Tile, rate: int) -> TwoLevelEvidence:
        """The inference pass; the decoder has no part in it, so float32 will do."""
        position = self._position(rate).float()
        pixels = tile.cut_and_pad(planes.for_model)
        with torch.autocast(self.device.type, enabled=False):
            return self._estimator.evidence(*analyse(self._estimator, pixels, position), position)

    def _refiner(self, planes: Planes, tile: Tile, rate: int) -> Refiner:
        return Refiner(
            self._estimator,
            tile.cut_and_pad(planes.for_model),
            planes.size,
            self.rates.lambda_of(rate),
            self._position(rate),
            self.refinement_steps,
        )

    def _generate(
        self, source: LatentSource, evidence: TwoLevelEvidence | None, tile: Tile, rate: int
    ) -> UInt8[np.ndarray, "3 _h _w"]:
        """The generative pass, the same for encoder and decoder."""
        position = self._position(rate)
        size = (tile.padded_height, tile.padded_width)
        with torch.autocast(self.device.type, enabled=False):
            z1 = self._model.latents(source, evidence, *size, position)
            return render(self._model, z1, position)

    def _highest_rate_within(
        self, planes: Planes, max_bits: float, highest: int
    ) -> tuple[int, float]:
        """The highest rate up to `highest` whose KL is at most `max_bits`, or 0; and that KL."""
        low, low_bits, high = 0, self._kl_bits(planes, 0), highest
        while low < high:
            middle = (low + high + 1) // 2
            bits = self._kl_bits(planes, middle)
            if bits <= max_bits:
                low, low_bits = middle, bits
            else:
                high = middle - 1
        return low, low_bits

    def _kl_bits(self, planes: Planes, rate: int) -> float:
        """What a perfect coder would send of an image at a rate."""
        tile = self._tile(*planes.size)
        source = PosteriorSampler(torch.Generator(self.device).manual_seed(0))
        evidence = self._infer(planes, tile, rate)
        position = self._position(rate).float()
        size = (tile.padded_height, tile.padded_width)
        with torch.autocast(self.device.type, enabled=False):
            self._estimator.latents(source, evidence, *size, position)
        return _bits_of(source)

    def _position(self, rate: int) -> Float[Tensor, "1"]:
        """Where among the model's anchors a rate lies."""
        position = [self.rates.position_of(rate)]
        return torch.tensor(position, dtype=torch.float64, device=self.device)

    def _tile(self, height: int, width: int) -> Tile:
        """All of the image, padded as the model needs it."""
        stride = self._model.stride
        padded = (-(-side // stride) * stride for side in (height, width))
        return Tile(0, 0, height, width, *padded)

    def _tile_plan(self, header: Header) -> TilePlan:
        n_tensors, anchor = 1 + len(self._groups), self.rates.nearest_anchor(header.rate)
        usual = slice(n_tensors * anchor, n_tensors * (anchor + 1))
        coding = self.checkpoint.coding
        side_info = SideInfoModel(coding.usual_steps[usual], coding.usual_rho[usual])
        tile = self._tile(header.height, header.width)
        config, n_pixels = self._model.config, tile.padded_pixels
        n_dims = [config.hyper_channels * n_pixels // Z2_PIXELS]
        n_dims += [len(group) * n_pixels // Z1_PIXELS for group in self._groups]

        def sequence(n_steps: list[int]) -> Int64[np.ndarray, " indices"]:
            claimed_bits = sum(n_steps) * self.coder.bits_per_step
            if claimed_bits > _MAX_BITS_PER_PIXEL * n_pixels:
                raise CorruptFileError(f"the file claims {claimed_bits} bits of latent tensors")
            return progression(n_steps, n_dims, self.coder)

        return TilePlan(side_info, (n_pixels,), sequence)

    def _verify(self, encoded: LossyImage) -> None:
        """Decode a new file; one that gives another image than expected is never handed out."""
        try:
            is_same = np.array_equal(self.decode(encoded.data), encoded.pixels)
        except BitstreamError as error:
            raise IrecError(
                f"the new file does not decode ({error}); please report this"
            ) from error
        if not is_same:
            raise IrecError("the new file decodes to another image; please report this")


def _like(
    planes: Planes, colour: UInt8[np.ndarray, "3 _h _w"], tile: Tile
) -> UInt8[np.ndarray, "h w c"]:
    """An image with the colours that the model made, and the rest as it was."""
    return join_planes(Planes(planes.colour, _cut(colour, tile, planes.colour), planes.alpha))


def _cut(
    colour: UInt8[np.ndarray, "3 _h _w"], tile: Tile, kind: Colour
) -> UInt8[np.ndarray, "c h w"]:
    """What the model made without its padding, and grey where the image is."""
    inside = tile.cut(colour)
    if kind.n_colour_channels == 3:
        return inside
    return ((inside.sum(0, dtype=np.uint16, keepdims=True) + 1) // 3).astype(np.uint8)


def _bits_of(source: PosteriorSampler) -> float:
    return sum(float(kl.double().sum()) for kl in source.kl_nats) / math.log(2.0)
