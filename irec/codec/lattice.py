"""The lossless codec of lattice RVAEs: pixels are coded while the generative pass runs.

Encoder and decoder run one pass, whose float64 arithmetic is exact on every machine
(:mod:`irec.models.exact`); they differ in where latent tensors and pixels come from. So the pass
is run tile by tile, and each phase's pixels go to or come from the range coder before the next.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from irec.bitstream import (
    LATTICE,
    Header,
    LogisticParameters,
    QuantisedParameters,
    ResidualDecoder,
    ResidualEncoder,
    TileCode,
    TilePlan,
    quantise,
)
from irec.codec.base import Codec, Encoded, Ideal
from irec.codec.latent_sources import DecodingSource, EncodingSource
from irec.codec.planes import split_planes
from irec.codec.statistics import measure_lattice
from irec.codec.tiles import Tile, tiles_of
from irec.models.exact import put_on_grid
from irec.models.latent_source import LatentSource, PosteriorSampler
from irec.models.lattice import PixelSource, Place
from irec.models.lattice_rvae import KnownPixels, LatticeRVAE, cropped
from irec.models.mixtures import MixtureParameters
from irec.models.zoo import CodingStatistics
from irec.progress import Progress


class EncodingPixels:
    """A pixel source that codes the pixels of one tile."""

    def __init__(
        self, encoder: ResidualEncoder, pixels: UInt8[np.ndarray, "c h w"], progress: Progress
    ) -> None:
        """Set up the source.

        Args:
            encoder: That the pixels go to.
            pixels: Of the tile; c is 1 of a grey image, else 3.
            progress: Hears of each value.
        """
        self.encoder = encoder
        self.pixels = pixels
        self.progress = progress

    def __call__(self, parameters: MixtureParameters, place: Place) -> Tensor:
        """Code and return these pixels."""
        pixels = place.cut(self.pixels)
        if pixels.size:
            self.encoder.add(pixels, whole_numbers(parameters, *pixels.shape))
        self.progress.add(pixels.size)
        return for_model(pixels, parameters.base)


class DecodingPixels:
    """A pixel source that decodes the pixels of one tile."""

    def __init__(
        self, decoder: ResidualDecoder, shape: tuple[int, int, int], progress: Progress
    ) -> None:
        """Set up the source.

        Args:
            decoder: That the pixels come from.
            shape: Of the tile: channels that are coded, height, width.
            progress: Hears of each value.
        """
        self.decoder = decoder
        self.shape = shape
        self.progress = progress

    def __call__(self, parameters: MixtureParameters, place: Place) -> Tensor:
        """Decode these pixels."""
        shape = place.cut(np.broadcast_to(np.uint8(0), self.shape)).shape
        pixels = np.zeros(shape, np.uint8)
        if pixels.size:
            pixels = self.decoder.next(whole_numbers(parameters, *shape))
        self.progress.add(pixels.size)
        return for_model(pixels, parameters.base)


def whole_numbers(
    parameters: MixtureParameters, n_channels: int, height: int, width: int
) -> QuantisedParameters:
    """Return a phase's mixtures as the residual coder takes them.

    Args:
        parameters: Of one image, exact float64.
        n_channels: 1 leaves out all but red, which grey images are coded as.
        height: Of the plane of pixels.
        width: likewise.
    """
    given = cropped(parameters, height, width)
    is_colour = n_channels == 3

    def array(values: Tensor) -> np.ndarray:
        return np.ascontiguousarray(values.cpu().numpy())

    return quantise(
        LogisticParameters(
            mean=array(given.mean[0, :, :n_channels]),
            log_scale=array(given.log_scale[0, :, :n_channels]),
            coupling=array(given.coupling[0]) if is_colour else None,
            logit=array(given.logit[0]),
            base=array(given.base[0, :n_channels]),
        ),
        0,
    )


def for_model(pixels: UInt8[np.ndarray, "c h w"], like: Tensor) -> Tensor:
    """Pixels as the model sees them, [1, 3, h, w] in `like`'s type: grey is repeated."""
    colours = np.broadcast_to(pixels, (3, *pixels.shape[1:]))
    return torch.tensor(colours)[None].to(like)


class LatticeCodec(Codec):
    """Compresses images with one checkpoint of a lattice RVAE, and gives back each pixel."""

    profile = LATTICE
    network = LatticeRVAE

    def _prepare(self) -> None:
        """Put the weights on the grid on which no sum rounds."""
        self._model = self._copy_of_model(torch.float64)
        put_on_grid(self._model)
        self._side_info = self._usual_side_info()

    @torch.inference_mode()
    def encode(self, image: UInt8[np.ndarray, "h w c"], quality: float | None = None) -> Encoded:
        """Compress an image; see :meth:`Codec.encode`."""
        self._refuse_quality(quality)
        planes = split_planes(image)
        residual, progress = ResidualEncoder(), Progress("encoding", planes.coded.size)
        tiles = []
        for tile in self._tiles(*planes.size):
            pixels = tile.cut(planes.coded)
            latents = EncodingSource(self.seed, self.profile.coder, self.search)
            self._generate(
                latents, EncodingPixels(residual, pixels, progress), pixels.shape, pixels
            )
            tiles.append(TileCode([codes[0] for codes in latents.codes]))
        return self._verified(self._pack(planes, tiles, image, residual.finish()))

    @torch.inference_mode()
    def decode(self, data: bytes, allow_truncated: bool = False) -> UInt8[np.ndarray, "h w c"]:
        """Decompress a file; see :meth:`Codec.decode`. It is of no use without its end."""
        stream = self.unpack(data)
        header = stream.header
        n_channels = header.colour.n_coded_channels
        coded = np.empty((n_channels, header.height, header.width), np.uint8)
        residual, progress = ResidualDecoder(stream.residual), Progress("decoding", coded.size)
        tiles = self._tiles(header.height, header.width)
        for tile, code in zip(tiles, stream.tiles, strict=True):
            shape = (n_channels, tile.height, tile.width)
            latents = DecodingSource(
                [[tensor] for tensor in code.tensors], header.seed, self.profile.coder
            )
            image = self._generate(latents, DecodingPixels(residual, shape, progress), shape)
            tile.cut(coded)[:] = image[0, :n_channels].to(torch.uint8).cpu().numpy()
        return self._join(stream, coded)

    @torch.inference_mode()
    def ideal(
        self,
        image: UInt8[np.ndarray, "h w c"],
        quality: float | None = None,
        n_samples: int = 1,
        seed: int = 0,
    ) -> Ideal:
        """Estimate an image's negative ELBO; see :meth:`Codec.ideal`."""
        self._refuse_quality(quality)
        if self._model.n_latent_tensors == 0:
            n_samples = 1  # all would be the same
        generator = torch.Generator(self.device).manual_seed(seed)
        planes = split_planes(image)
        kl = likelihood = 0.0
        for tile in self._tiles(*planes.size):
            pixels = tile.cut(planes.coded)
            for _ in range(n_samples):
                # In the arithmetic of the files: float32 would differ by a thousandth.
                latents = PosteriorSampler(generator)
                known = KnownPixels(for_model(pixels, self._model.top), len(pixels))
                self._generate(latents, known, pixels.shape, pixels)
                kl += sum(one.double().sum().item() for one in latents.kl_nats)
                likelihood += sum(one.double().sum().item() for one in known.nats)
        to_bits = 1.0 / (n_samples * math.log(2.0))
        return Ideal(kl * to_bits, likelihood * to_bits)

    @staticmethod
    def measure_statistics(model: LatticeRVAE, images: Sequence[np.ndarray]) -> CodingStatistics:
        """See :meth:`Codec.measure_statistics`."""
        return measure_lattice(model, images)

    def _generate(
        self,
        latents: LatentSource,
        source: PixelSource,
        shape: tuple[int, ...],
        pixels: UInt8[np.ndarray, "c h w"] | None = None,
    ) -> Tensor:
        """One tile's pass in float64, whatever surrounds it: [1, 3, h, w]."""
        is_grey = self._model.top.new_tensor([float(shape[0] == 1)])
        image = None if pixels is None else for_model(pixels, self._model.top)
        with torch.autocast(self.device.type, enabled=False):
            return self._model.generate(latents, source, shape[1:], is_grey, image)

    def _tiles(self, height: int, width: int) -> list[Tile]:
        return tiles_of(height, width, self._model.stride, self.profile.max_tile_side)

    def _tile_plan(self, header: Header) -> TilePlan:
        tiles = self._tiles(header.height, header.width)
        return TilePlan(self._side_info, tuple(tile.padded_pixels for tile in tiles))
