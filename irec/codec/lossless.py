"""Image -> bytes -> the same image: where model, coder and bitstream meet.

Encoder and decoder run the same generative pass in float64, without autocast. What they must agree
on exactly never touches a float: indices are integers, and likelihood parameters are rounded to a
grid whose boundaries the encoder has kept clear (:mod:`irec.bitstream.grid`).
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from irec.bitstream import (
    LOSSLESS,
    Bitstream,
    LogisticParameters,
    ResidualDecoder,
    ResidualEncoder,
    TileCode,
    quantise,
    safe_grid_offset,
)
from irec.codec.base import Codec, Encoded, Ideal, Known
from irec.codec.encoded import coded_bits
from irec.codec.export import measure_lossless
from irec.codec.latent_sources import DecodingSource, EncodingSource
from irec.codec.tiles import Planes, TileWork, batches_of_tiles, for_coder, join_planes, pixels_of
from irec.models import likelihoods
from irec.models.rvae import RVAE
from irec.models.sources import LatentSource, PosteriorSampler
from irec.progress import Progress


class LosslessCodec(Codec):
    """Compresses images with one checkpoint of an RVAE, and gives back each pixel."""

    profile = LOSSLESS
    network = RVAE
    measure_statistics = staticmethod(measure_lossless)

    def _encode(self, planes: Sequence[Planes], quality_index: int) -> list[Encoded]:
        """Search images of the same size, one after the other, together."""
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
        return [
            self._pack(one, codes, join_planes(one), residual.finish())
            for one, codes, residual in zip(planes, tile_codes, residuals, strict=True)
        ]

    def _decode(self, stream: Bitstream) -> Planes:
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
        return self._with_alpha(stream, coded)

    def _ideal(
        self, images: Sequence[Known], quality_index: int, n_samples: int, seed: int
    ) -> list[Ideal]:
        generator = torch.Generator(self.device).manual_seed(seed)
        sums = np.zeros((len(images), 2))
        for batch in self._batches([planes for planes, _ in images]):
            pixels = pixels_of(batch, self.device).float()
            for _ in range(n_samples):
                source = PosteriorSampler(generator)
                parameters = self._estimator(pixels, source)
                kl = torch.stack(source.kl_nats).double().sum((0, 2, 3, 4))
                for index, work in enumerate(batch):
                    one, size = slice(index, index + 1), (work.tile.height, work.tile.width)
                    own = parameters.cropped(*size, one)
                    inside = pixels[one, :, : size[0], : size[1]]
                    bits = coded_bits(own, inside, len(work.planes.coded)).double()
                    sums[work.image] += kl[index].item() / math.log(2.0), bits.sum().item()
        sums /= n_samples
        return [Ideal(kl, likelihood) for kl, likelihood in sums.tolist()]

    def _draw(self, planes: Planes, quality_index: int, source: LatentSource) -> None:
        for batch in self._batches([planes]):
            self._estimator(pixels_of(batch, self.device).float(), source)

    def _batches(self, planes: Sequence[Planes]) -> Iterator[list[TileWork]]:
        return batches_of_tiles(planes, self._model.stride, self.profile.max_tile_side)

    def _encode_tiles(
        self, batch: list[TileWork]
    ) -> Iterator[tuple[TileWork, TileCode, LogisticParameters]]:
        source = EncodingSource(self.seed, self.profile.coder, search=self.search)
        with torch.autocast(self.device.type, enabled=False):
            parameters = self._model(pixels_of(batch, self.device), source)
        for index, work in enumerate(batch):
            given = for_tile(parameters, index, work)
            found = [codes[index] for codes in source.codes]
            yield work, TileCode(found, safe_grid_offset(given)), given

    def _decode_tiles(
        self, batch: list[TileWork], codes: Sequence[TileCode], seed: int
    ) -> list[LogisticParameters]:
        by_tensor = [list(one) for one in zip(*(tile.tensors for tile in codes), strict=True)]
        source = DecodingSource(seed, self.profile.coder, by_tensor)
        size = batch[0].tile.padded_size
        with torch.autocast(self.device.type, enabled=False):
            parameters = self._model.generate(source, None, len(batch), *size)
        return [for_tile(parameters, index, work) for index, work in enumerate(batch)]


def for_tile(
    parameters: likelihoods.LogisticParameters, index: int, work: TileWork
) -> LogisticParameters:
    """One tile's parameters out of those of a batch."""
    n_channels, tile = len(work.planes.coded), work.tile
    return for_coder(parameters, index, n_channels, tile.height, tile.width)
