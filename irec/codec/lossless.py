"""Image -> bytes -> the same image: where model, coder and bitstream meet.

Encoder and decoder run the same generative pass in float64, without autocast. What they must agree
on exactly never touches a float: indices are integers, and likelihood parameters are rounded to a
grid whose boundaries the encoder has kept clear (:mod:`irec.bitstream.grid`).
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import UInt8

from irec.bitstream import (
    LOSSLESS,
    Header,
    LogisticParameters,
    ResidualDecoder,
    ResidualEncoder,
    TileCode,
    TilePlan,
    quantise,
    safe_grid_offset,
)
from irec.codec.base import Codec, Encoded, Ideal
from irec.codec.batches import TileWork, batches_of_tiles, parameters_of, pixels_of
from irec.codec.latent_sources import DecodingSource, EncodingSource
from irec.codec.planes import Planes, split_planes
from irec.codec.statistics import measure_lossless
from irec.codec.tiles import tiles_of
from irec.models.latent_source import PosteriorSampler
from irec.models.rvae import RVAE
from irec.models.zoo import CodingStatistics
from irec.progress import Progress


class LosslessCodec(Codec):
    """Compresses images with one checkpoint of an RVAE, and gives back each pixel."""

    profile = LOSSLESS
    network = RVAE

    def _prepare(self) -> None:
        """Copy the model: one that codes, and one for all that may differ by rounding."""
        self._model = self._copy_of_model(torch.float64)
        self._estimator = self._copy_of_model(torch.float32)
        self._side_info = self._usual_side_info()

    def encode(self, image: UInt8[np.ndarray, "h w c"], quality: float | None = None) -> Encoded:
        """Compress an image; see :meth:`Codec.encode`."""
        return self.encode_batch([image], quality)[0]

    @torch.inference_mode()
    def encode_batch(
        self, images: Sequence[np.ndarray], quality: float | None = None
    ) -> list[Encoded]:
        """Compress images; those of the same size, one after the other, are searched together."""
        self._refuse_quality(quality)
        planes = [split_planes(image) for image in images]
        tile_codes: list[list[TileCode]] = [[] for _ in planes]
        residuals = [ResidualEncoder() for _ in planes]
        progress = Progress("encoding", sum(one.coded.size for one in planes))
        for batch in self._batches(planes):
            for work, code, parameters in self._encode_tiles(batch):
                tile_codes[work.image].append(code)
                quantised = quantise(parameters, code.grid_offset)
                pixels = work.tile.cut(work.planes.coded)
                residuals[work.image].add(pixels, quantised)
                progress.add(pixels.size)
        parts = zip(planes, tile_codes, images, residuals, strict=True)
        encoded = [
            self._pack(one, codes, image, residual.finish())
            for one, codes, image, residual in parts
        ]
        return [self._verified(one) for one in encoded]

    @torch.inference_mode()
    def decode(self, data: bytes, allow_truncated: bool = False) -> UInt8[np.ndarray, "h w c"]:
        """Decompress a file; see :meth:`Codec.decode`. It is of no use without its end."""
        stream = self.unpack(data)
        header = stream.header
        coded = np.empty((header.colour.n_coded_channels, header.height, header.width), np.uint8)
        residual, progress = ResidualDecoder(stream.residual), Progress("decoding", coded.size)
        blank = Planes(header.colour, coded, None)
        codes = iter(stream.tiles)
        for batch in self._batches([blank]):
            tile_codes = [next(codes) for _ in batch]
            parameters = self._decode_tiles(batch, tile_codes, header.seed)
            for work, code, given in zip(batch, tile_codes, parameters, strict=True):
                pixels = residual.next(quantise(given, code.grid_offset))
                work.tile.cut(coded)[:] = pixels
                progress.add(pixels.size)
        return self._join(stream, coded)

    def ideal(
        self,
        image: UInt8[np.ndarray, "h w c"],
        quality: float | None = None,
        n_samples: int = 1,
        seed: int = 0,
    ) -> Ideal:
        """Estimate an image's negative ELBO; see :meth:`Codec.ideal`."""
        return self.ideal_batch([image], quality, n_samples, seed)[0]

    @torch.inference_mode()
    def ideal_batch(
        self,
        images: Sequence[np.ndarray],
        quality: float | None = None,
        n_samples: int = 1,
        seed: int = 0,
    ) -> list[Ideal]:
        """As :meth:`ideal`, of several images."""
        self._refuse_quality(quality)
        generator = torch.Generator(self.device).manual_seed(seed)
        planes = [split_planes(image) for image in images]
        sums = np.zeros((len(planes), 2))
        for batch in self._batches(planes):
            pixels = pixels_of(batch, self.device).float()
            for _ in range(n_samples):
                source = PosteriorSampler(generator)
                log_prob = self._estimator(pixels, source).log_prob(pixels).double()
                kl = torch.stack(source.kl_nats).double().sum((0, 2, 3, 4))
                for index, work in enumerate(batch):
                    inside = log_prob[index, : len(work.planes.coded)]
                    inside = inside[:, : work.tile.height, : work.tile.width]
                    sums[work.image] += kl[index].item(), -inside.sum().item()
        sums /= n_samples * math.log(2.0)
        return [Ideal(kl, likelihood) for kl, likelihood in sums.tolist()]

    @staticmethod
    def measure_statistics(model: RVAE, images: Sequence[np.ndarray]) -> CodingStatistics:
        """See :meth:`Codec.measure_statistics`."""
        return measure_lossless(model, images)

    def _batches(self, planes: Sequence[Planes]) -> Iterator[list[TileWork]]:
        return batches_of_tiles(planes, self._model.stride, self.profile.max_tile_side)

    def _tile_plan(self, header: Header) -> TilePlan:
        stride, max_side = self._model.stride, self.profile.max_tile_side
        tiles = tiles_of(header.height, header.width, stride, max_side)
        return TilePlan(self._side_info, tuple(tile.padded_pixels for tile in tiles))

    def _encode_tiles(
        self, batch: list[TileWork]
    ) -> Iterator[tuple[TileWork, TileCode, LogisticParameters]]:
        source = EncodingSource(self.seed, self.profile.coder, self.search)
        with torch.autocast(self.device.type, enabled=False):
            parameters = self._model(pixels_of(batch, self.device), source)
        for index, work in enumerate(batch):
            given = parameters_of(parameters, index, work)
            found = [codes[index] for codes in source.codes]
            yield work, TileCode(found, safe_grid_offset(given)), given

    def _decode_tiles(
        self, batch: list[TileWork], codes: Sequence[TileCode], seed: int
    ) -> list[LogisticParameters]:
        by_tensor = [list(one) for one in zip(*(tile.tensors for tile in codes), strict=True)]
        source = DecodingSource(by_tensor, seed, self.profile.coder)
        tile = batch[0].tile
        with torch.autocast(self.device.type, enabled=False):
            parameters = self._model.generate(
                source, None, len(batch), tile.padded_height, tile.padded_width
            )
        return [parameters_of(parameters, index, work) for index, work in enumerate(batch)]
