"""The lossless codec of lattice RVAEs: pixels are coded while the generative pass runs.

Encoder and decoder run one pass, whose float64 arithmetic is exact on every machine
(:mod:`irec.models.exact`); they differ in where latent tensors and pixels come from. So the pass
is run tile by tile, and each phase's pixels go to or come from the range coder before the next.
"""

import math
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from irec.bitstream import (
    LATTICE,
    Bitstream,
    Calibration,
    ResidualDecoder,
    ResidualEncoder,
    TileCode,
    quantise,
)
from irec.codec.base import Codec, Encoded, Ideal, Known
from irec.codec.calibrate import calibrated_bits, fitted_calibration
from irec.codec.export import measure_lattice
from irec.codec.latent_sources import DecodingSource, EncodingSource
from irec.codec.tiles import Planes, for_coder, join_planes
from irec.models.exact import put_on_grid
from irec.models.lattice_rvae import LatticeRVAE
from irec.models.likelihoods import LogisticParameters
from irec.models.sources import KnownPixels, LatentSource, PixelSource, Place, PosteriorSampler
from irec.progress import Progress


@dataclass
class CalibratingPixels:
    """A pixel source that knows the pixels of one tile, and calibrates each phase by them.

    Attributes:
        pixels: Of the tile; c is 1 of a grey image, else 3.
        found: Calibrations of the phases that have pixels, where they were chosen before.
        bits: What the pixels so far cost under the calibrated mixtures, not rounded.
        calibrations: Of the phases so far that have pixels.
    """

    pixels: UInt8[np.ndarray, "c h w"]
    found: Sequence[Calibration] | None = None
    bits: float = 0.0
    calibrations: list[Calibration] = field(default_factory=list)

    def __call__(self, parameters: LogisticParameters, place: Place) -> Tensor:
        """Return the true pixels."""
        pixels = place.cut(self.pixels)
        values = for_model(pixels, parameters.mean)
        if pixels.size:
            given = parameters.cropped(*pixels.shape[1:])
            before = self.calibrations[-1] if self.calibrations else Calibration()
            if self.found is None:
                new = fitted_calibration(values, len(pixels), given, before)
            else:
                new = self.found[len(self.calibrations)]
            self.calibrations.append(new)
            self._take(pixels, given, before)
        return values

    def _take(
        self, pixels: UInt8[np.ndarray, "c h w"], given: LogisticParameters, before: Calibration
    ) -> None:
        """Do with a phase what the source is for; its calibration is the last."""
        steps, values = torch.tensor(self.calibrations[-1]), for_model(pixels, given.mean)
        self.bits += float(calibrated_bits(given, steps.to(values), values, len(pixels)))


@dataclass
class EncodingPixels(CalibratingPixels):
    """A pixel source that codes the pixels of one tile.

    Attributes:
        encoder: That the pixels go to.
        progress: Hears of each value.
    """

    _: KW_ONLY
    encoder: ResidualEncoder
    progress: Progress

    def _take(
        self, pixels: UInt8[np.ndarray, "c h w"], given: LogisticParameters, before: Calibration
    ) -> None:
        new = self.calibrations[-1]
        new.write(self.encoder, before, len(pixels))
        self.encoder.add(pixels, new.apply(quantise(for_coder(given, 0, *pixels.shape), 0)))
        self.progress.add(pixels.size)


@dataclass
class DecodingPixels:
    """A pixel source that decodes the pixels of one tile.

    Attributes:
        decoder: That the pixels come from.
        shape: Of the tile: channels that are coded, height, width.
        progress: Hears of each value.
        calibration: Of the last phase that had pixels.
    """

    decoder: ResidualDecoder
    shape: tuple[int, int, int]
    progress: Progress
    calibration: Calibration = field(default_factory=Calibration)

    def __call__(self, parameters: LogisticParameters, place: Place) -> Tensor:
        """Decode these pixels."""
        shape = place.cut(np.broadcast_to(np.uint8(0), self.shape)).shape
        pixels = np.zeros(shape, np.uint8)
        if pixels.size:
            self.calibration = Calibration.read(self.decoder, self.calibration, shape[0])
            mixtures = quantise(for_coder(parameters, 0, *shape), 0)
            pixels = self.decoder.next(self.calibration.apply(mixtures))
        self.progress.add(pixels.size)
        return for_model(pixels, parameters.mean)


def for_model(pixels: UInt8[np.ndarray, "c h w"], like: Tensor) -> Tensor:
    """Pixels as the model sees them, [1, 3, h, w] in `like`'s type: grey is repeated."""
    colours = np.broadcast_to(pixels, (3, *pixels.shape[1:]))
    return torch.tensor(colours)[None].to(like)


class LatticeCodec(Codec):
    """Compresses images with one checkpoint of a lattice RVAE, and gives back each pixel."""

    profile = LATTICE
    network = LatticeRVAE
    measure_statistics = staticmethod(measure_lattice)

    def _coding_model(self) -> Any:
        """Put the weights on the grid on which no sum rounds."""
        model = super()._coding_model()
        put_on_grid(model)
        return model

    def _encode(self, planes: Sequence[Planes], quality_index: int) -> list[Encoded]:
        return [self._encode_one(one) for one in planes]

    def _encode_one(self, planes: Planes) -> Encoded:
        residual, progress = ResidualEncoder(), Progress("encoding", planes.coded.size)
        tiles, calibrations = [], []
        for tile in self._tiles(*planes.size):
            pixels = tile.cut(planes.coded)
            latents = EncodingSource(self.seed, self.profile.coder, search=self.search)
            source = EncodingPixels(pixels, encoder=residual, progress=progress)
            self._generate(latents, source, pixels.shape, pixels)
            tiles.append(TileCode([codes[0] for codes in latents.codes]))
            calibrations.append(source.calibrations)
        packed = self._pack(planes, tiles, join_planes(planes), residual.finish())
        return replace(packed, findings=calibrations)

    def _decode(self, stream: Bitstream) -> Planes:
        header = stream.header
        n_channels = header.colour.n_coded_channels
        coded = np.empty((n_channels, header.height, header.width), np.uint8)
        residual, progress = ResidualDecoder(stream.residual), Progress("decoding", coded.size)
        tiles = self._tiles(header.height, header.width)
        for tile, code in zip(tiles, stream.tiles, strict=True):
            shape = (n_channels, tile.height, tile.width)
            codes = [[tensor] for tensor in code.tensors]
            latents = DecodingSource(header.seed, self.profile.coder, codes)
            image = self._generate(latents, DecodingPixels(residual, shape, progress), shape)
            tile.cut(coded)[:] = image[0, :n_channels].to(torch.uint8).cpu().numpy()
        return self._with_alpha(stream, coded)

    def _ideal(
        self, images: Sequence[Known], quality_index: int, n_samples: int, seed: int
    ) -> list[Ideal]:
        return [self._ideal_of_one(*image, n_samples, seed) for image in images]

    def _ideal_of_one(
        self,
        planes: Planes,
        calibrations: Sequence[Sequence[Calibration]] | None,
        n_samples: int,
        seed: int,
    ) -> Ideal:
        if self._model.n_latent_tensors == 0:
            n_samples = 1  # all would be the same
        generator = torch.Generator(self.device).manual_seed(seed)
        kl = likelihood = 0.0
        for number, tile in enumerate(self._tiles(*planes.size)):
            pixels = tile.cut(planes.coded)
            found = None if calibrations is None else calibrations[number]
            for _ in range(n_samples):
                # In the arithmetic of the files: float32 would differ by a thousandth.
                latents, known = PosteriorSampler(generator), CalibratingPixels(pixels, found)
                self._generate(latents, known, pixels.shape, pixels)
                kl += sum(one.double().sum().item() for one in latents.kl_nats)
                likelihood += known.bits
        return Ideal(kl / (n_samples * math.log(2.0)), likelihood / n_samples)

    def _draw(self, planes: Planes, quality_index: int, source: LatentSource) -> None:
        for tile in self._tiles(*planes.size):
            pixels = tile.cut(planes.coded)
            known = KnownPixels(for_model(pixels, self._model.top), len(pixels))
            self._generate(source, known, pixels.shape, pixels)

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
