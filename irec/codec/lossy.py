"""Image -> bytes -> an image like it: the two-level VAE's latents are all that the file holds.

Encoder and decoder run the same generative pass in float64, so that a decoded image differs between
devices only where a value lies within its rounding error of the middle between two grey levels.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from irec.bitstream import (
    LOSSY,
    Bitstream,
    Colour,
    Header,
    TileCode,
    TilePlan,
    compress_alpha,
    decompress_alpha,
)
from irec.codec.bands import analyse, render
from irec.codec.base import Codec, Encoded, Ideal
from irec.codec.channel_groups import GroupedSource, progression
from irec.codec.latent_sources import DecodingSource, EncodingSource
from irec.codec.planes import Planes, join_planes, split_planes
from irec.codec.qualities import Qualities
from irec.codec.refinement import Refiner, RefiningSource
from irec.codec.statistics import measure_lossy
from irec.codec.tiles import Tile, tiles_of
from irec.coding import DEFAULT_EFFORT, SearchSettings
from irec.errors import CorruptFileError, InvalidParameterError
from irec.models.latent_source import LatentSource, PosteriorSampler
from irec.models.two_level_vae import Z1_PIXELS, Z2_PIXELS, TwoLevelEvidence, TwoLevelVAE
from irec.models.zoo import Checkpoint, CodingStatistics

# By effort. Each takes about a quarter of a second for a Kodak image on two cores.
_REFINEMENT_STEPS = {1: 0, 2: 2, 3: 4, 4: 6, 5: 10, 6: 14, 7: 20, 8: 28, 9: 40}
# What the coder usually sends for a bit of KL; a first guess only.
_BITS_SENT_PER_BIT = 1.06


class LossyCodec(Codec):
    """Compresses images with one checkpoint of a two-level VAE."""

    profile = LOSSY
    network = TwoLevelVAE

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
        """Set up a codec; errors as for :class:`Codec`.

        Args:
            checkpoint: as for :class:`Codec`.
            effort: likewise.
            seed: likewise.
            verify: likewise.
            device: likewise.
            refinement_steps: of descent on each image's own posterior before it is coded (see
                :mod:`irec.codec.refinement`); as `effort` says where it is None.
        """
        super().__init__(checkpoint, effort=effort, seed=seed, verify=verify, device=device)
        # Measured at quality 100 on kodim07 and 13: a quarter fewer beams, 0.1 % of the objective.
        self.search = SearchSettings(n_beams=3 * self.search.n_beams // 4)
        if refinement_steps is None:
            refinement_steps = _REFINEMENT_STEPS[effort]
        elif refinement_steps < 0:
            raise InvalidParameterError(f"there are no {refinement_steps} refinement steps")
        self._model, self._estimator = self._copies_of(checkpoint.model)
        is_refined = self._model.config.distortion == "mse"
        self.refinement_steps = refinement_steps if is_refined else 0
        self.qualities = Qualities(self._model.config.lambdas, checkpoint.name)
        self._groups = checkpoint.coding.channel_groups

    @property
    def has_quality(self) -> bool:
        """Whether the model has more than one quality."""
        return self.qualities.has_quality

    @torch.inference_mode()
    def encode(self, image: UInt8[np.ndarray, "h w c"], quality: float | None = None) -> Encoded:
        """Compress an image; see :meth:`Codec.encode`."""
        planes = split_planes(image)
        return self._verified(self._encode(planes, self.qualities.index_of(quality)))

    @torch.inference_mode()
    def encode_within(self, image: UInt8[np.ndarray, "h w c"], max_bpp: float) -> Encoded:
        """Compress an image to a size; see :meth:`Codec.encode_within`."""
        if not max_bpp > 0.0:
            raise InvalidParameterError(f"bits per pixel are more than 0, not {max_bpp:g}")
        if not self.has_quality:
            return super().encode_within(image, max_bpp)
        planes = split_planes(image)
        n_pixels = planes.size[0] * planes.size[1]
        index, sent_per_bit = self.profile.max_quality_index, _BITS_SENT_PER_BIT
        while True:
            # Whatever was too large is ruled out, and tells what the next guess should allow for.
            index, expected = self._highest_quality_within(
                planes, max_bpp * n_pixels / sent_per_bit, index
            )
            encoded = self._encode(planes, index)
            if encoded.file_bits <= max_bpp * n_pixels:
                return self._verified(encoded)
            if index == 0:
                raise InvalidParameterError(
                    f"the smallest file of this image has {encoded.file_bits / n_pixels:.4f} bits "
                    f"per pixel; {max_bpp:g} are out of this model's reach"
                )
            index, sent_per_bit = index - 1, encoded.file_bits / max(expected, 1.0)

    @torch.inference_mode()
    def decode(self, data: bytes, allow_truncated: bool = False) -> UInt8[np.ndarray, "h w c"]:
        """Decompress a file; see :meth:`Codec.decode`."""
        stream = self.unpack(data, allow_truncated)
        header, codes = stream.header, stream.tiles[0].tensors
        tile = self._tile(header.height, header.width)
        alpha = None
        if stream.alpha is not None:
            alpha = decompress_alpha(stream.alpha, header.height, header.width)
        coder = self.profile.coder
        source = DecodingSource([[code] for code in codes], header.seed, coder, True)
        grouped = GroupedSource(source, self._model.n_latent_tensors - 1, self._groups)
        colour = self._generate(grouped, None, tile, header.quality_index)
        return join_planes(Planes(header.colour, _cut(colour, tile, header.colour), alpha))

    @torch.inference_mode()
    def ideal(
        self,
        image: UInt8[np.ndarray, "h w c"],
        quality: float | None = None,
        n_samples: int = 1,
        seed: int = 0,
    ) -> Ideal:
        """Draw from the exact posterior; see :meth:`Codec.ideal`."""
        planes, index = split_planes(image), self.qualities.index_of(quality)
        samples = [self._sample(planes, index, seed + number) for number in range(n_samples)]
        bits, pixels = zip(*samples, strict=True)
        return Ideal(sum(bits) / n_samples, pixels=pixels)

    @staticmethod
    def measure_statistics(model: TwoLevelVAE, images: Sequence[np.ndarray]) -> CodingStatistics:
        """See :meth:`Codec.measure_statistics`."""
        return measure_lossy(model, images)

    def _quality_of(self, header: Header) -> tuple[float | None, float | None]:
        index = header.quality_index
        return self.qualities.quality_of(index), self.qualities.lambda_of(index)

    def _sample(
        self, planes: Planes, index: int, seed: int
    ) -> tuple[float, UInt8[np.ndarray, "h w c"]]:
        """KL in bits, and image, of one exact posterior sample."""
        tile = self._tile(*planes.size)
        source = PosteriorSampler(torch.Generator(self.device).manual_seed(seed))
        refining = RefiningSource(source, self._refiner(planes, tile, index))
        position = self._position(index).float()
        evidence = self._infer(planes, tile, index)
        size = (tile.padded_height, tile.padded_width)
        with torch.autocast(self.device.type, enabled=False):
            z1 = self._estimator.latents(refining, evidence, *size, position)
            colour = render(self._estimator, z1, position)
        return _bits_of(source), _like(planes, colour, tile)

    def _encode(self, planes: Planes, index: int) -> Encoded:
        tile = self._tile(*planes.size)
        source = EncodingSource(self.seed, self.profile.coder, self.search)
        grouped = GroupedSource(source, self._model.n_latent_tensors - 1, self._groups)
        refining = RefiningSource(grouped, self._refiner(planes, tile, index))
        colour = self._generate(refining, self._infer(planes, tile, index), tile, index)
        height, width = planes.size
        fingerprint, seed = self.checkpoint.fingerprint, self.seed
        header = Header(self.profile, fingerprint, height, width, planes.colour, seed, index)
        codes = TileCode([codes[0] for codes in source.codes])
        alpha = None if planes.alpha is None else compress_alpha(planes.alpha)
        pixels, quality = _like(planes, colour, tile), self.qualities.quality_of(index)
        return self._finish(Bitstream(header, [codes], alpha=alpha), pixels, quality)

    def _infer(self, planes: Planes, tile: Tile, index: int) -> TwoLevelEvidence:
        """The inference pass; the decoder has no part in it, so float32 will do."""
        position = self._position(index).float()
        pixels = tile.cut_and_pad(planes.for_model)
        with torch.autocast(self.device.type, enabled=False):
            return self._estimator.evidence(*analyse(self._estimator, pixels, position), position)

    def _refiner(self, planes: Planes, tile: Tile, index: int) -> Refiner:
        return Refiner(
            self._estimator,
            tile.cut_and_pad(planes.for_model),
            planes.size,
            self.qualities.lambda_of(index),
            self._position(index),
            self.refinement_steps,
        )

    def _generate(
        self, source: LatentSource, evidence: TwoLevelEvidence | None, tile: Tile, index: int
    ) -> UInt8[np.ndarray, "3 _h _w"]:
        """The generative pass, the same for encoder and decoder."""
        position = self._position(index)
        size = (tile.padded_height, tile.padded_width)
        with torch.autocast(self.device.type, enabled=False):
            z1 = self._model.latents(source, evidence, *size, position)
            return render(self._model, z1, position)

    def _highest_quality_within(
        self, planes: Planes, max_bits: float, highest: int
    ) -> tuple[int, float]:
        """The highest index up to `highest` whose KL is at most `max_bits`, or 0; and that KL."""
        low, low_bits, high = 0, self._kl_bits(planes, 0), highest
        while low < high:
            middle = (low + high + 1) // 2
            bits = self._kl_bits(planes, middle)
            if bits <= max_bits:
                low, low_bits = middle, bits
            else:
                high = middle - 1
        return low, low_bits

    def _kl_bits(self, planes: Planes, index: int) -> float:
        """What a perfect coder would send of an image at a quality."""
        tile = self._tile(*planes.size)
        source = PosteriorSampler(torch.Generator(self.device).manual_seed(0))
        evidence = self._infer(planes, tile, index)
        position = self._position(index).float()
        size = (tile.padded_height, tile.padded_width)
        with torch.autocast(self.device.type, enabled=False):
            self._estimator.latents(source, evidence, *size, position)
        return _bits_of(source)

    def _position(self, index: int) -> Float[Tensor, "1"]:
        """Where among the model's anchors a quality lies."""
        position = [self.qualities.position_of(index)]
        return torch.tensor(position, dtype=torch.float64, device=self.device)

    def _tile(self, height: int, width: int) -> Tile:
        """All of the image, padded as the model needs it."""
        return tiles_of(height, width, self._model.stride, self.profile.max_tile_side)[0]

    def _tile_plan(self, header: Header) -> TilePlan:
        n_tensors, anchor = (
            1 + len(self._groups),
            self.qualities.nearest_anchor(header.quality_index),
        )
        usual = slice(n_tensors * anchor, n_tensors * (anchor + 1))
        coding = self.checkpoint.coding
        side_info = self.profile.side_info_model(coding.usual_steps[usual], coding.usual_rho[usual])
        tile = self._tile(header.height, header.width)
        config, n_pixels = self._model.config, tile.padded_pixels
        n_dims = [config.hyper_channels * n_pixels // Z2_PIXELS]
        n_dims += [len(group) * n_pixels // Z1_PIXELS for group in self._groups]

        def tensor_of_index(n_steps: list[int]) -> Int64[np.ndarray, " indices"]:
            claimed_bits = sum(n_steps) * self.profile.coder.bits_per_step
            limit = self.profile.max_latent_bits_per_pixel
            if limit is not None and claimed_bits > limit * n_pixels:
                raise CorruptFileError(f"the file claims {claimed_bits} bits of latent tensors")
            return progression(n_steps, n_dims, self.profile.coder)

        return TilePlan(side_info, (n_pixels,), tensor_of_index)


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
    if kind.n_coded_channels == 3:
        return inside
    return ((inside.sum(0, dtype=np.uint16, keepdims=True) + 1) // 3).astype(np.uint8)


def _bits_of(source: PosteriorSampler) -> float:
    return sum(float(kl.double().sum()) for kl in source.kl_nats) / math.log(2.0)
