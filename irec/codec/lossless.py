"""Image -> bytes -> the same image: where model, coder and bitstream meet.

Encoder and decoder run the same generative pass in float64, without autocast. What they must agree
on exactly never touches a float: indices are integers, and likelihood parameters are rounded to a
grid whose boundaries the encoder has kept clear (:mod:`irec.bitstream.grid`).
"""

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from irec.bitstream import (
    Bitstream,
    Header,
    LogisticParameters,
    ResidualDecoder,
    ResidualEncoder,
    SectionSizes,
    SideInfoModel,
    TensorCode,
    TileCode,
    TilePlan,
    check_pixels,
    compress_alpha,
    decompress_alpha,
    pack,
    pixel_checksum,
    quantise,
    safe_grid_offset,
    section_sizes,
    unpack,
)
from irec.codec.latent_sources import DecodingSource, EncodingSource
from irec.codec.planes import MAX_PIXELS, Planes, join_planes, split_planes
from irec.codec.tiles import Tile, tiles_of
from irec.coding import CoderSettings, SearchSettings
from irec.coding import TensorCode as SearchedCode
from irec.errors import BitstreamError, CorruptFileError, IrecError, ModelMismatchError
from irec.models import likelihoods
from irec.models.latent_source import PosteriorSampler
from irec.models.zoo import Checkpoint

DEFAULT_EFFORT = 5

# Pixels that one generative pass takes together; bounds its memory to about a gigabyte.
_MAX_BATCH_PIXELS = 512 * 512


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


@dataclass(frozen=True)
class _Work:
    """One tile of one image of a batch."""

    image: int
    planes: Planes
    tile: Tile


class LosslessCodec:
    """Compresses images with one checkpoint."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        effort: int = DEFAULT_EFFORT,
        seed: int = 0,
        verify: bool = True,
        device: str | torch.device = "cpu",
    ) -> None:
        """Set up a codec.

        Args:
            checkpoint: the model; decoding needs the same.
            effort: how hard the encoder searches, 1 (fastest) to 9; each level doubles the time.
                Decoding takes the same time whatever it was.
            seed: of the shared randomness; stands in the file where it is not 0.
            verify: decode every file and compare before returning it.
            device: where the model and the search run.

        Raises:
            InvalidParameterError: `effort` is out of range.
        """
        self.checkpoint = checkpoint
        self.search = SearchSettings.from_effort(effort)
        self.coder = CoderSettings()
        self.seed = seed
        self.verify = verify
        self.device = torch.device(device)
        self._model = copy.deepcopy(checkpoint.model).to(self.device).double()
        # Estimates need no portable arithmetic, and float32 takes a third of the time.
        self._estimator = copy.deepcopy(checkpoint.model).to(self.device)
        self._side_info = SideInfoModel(checkpoint.coding.usual_steps, checkpoint.coding.usual_rho)

    @torch.inference_mode()
    def encode(self, images: Sequence[np.ndarray]) -> list[EncodedImage]:
        """Compress images; images of the same size, one after the other, are searched together.

        Args:
            images: uint8 [h, w, c] each, with c = 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGBA).

        Returns:
            One file per image, in order.

        Raises:
            UnsupportedImageError: an image is of another kind.
        """
        planes = [split_planes(image) for image in images]
        tile_codes: list[list[TileCode]] = [[] for _ in planes]
        residuals = [ResidualEncoder() for _ in planes]
        for batch in self._batches(planes):
            for work, code, parameters in self._encode_tiles(batch):
                tile_codes[work.image].append(code)
                quantised = quantise(parameters, code.grid_offset)
                residuals[work.image].add(work.tile.cut(work.planes.coded), quantised)
        encoded = [self._pack(*parts) for parts in zip(planes, tile_codes, residuals, strict=True)]
        if self.verify:
            for image, result in zip(images, encoded, strict=True):
                self._verify(image, result)
        return encoded

    @torch.inference_mode()
    def decode(self, data: bytes) -> UInt8[np.ndarray, "h w c"]:
        """Decompress a file.

        Args:
            data: the whole file.

        Returns:
            The image, uint8 [h, w, c].

        Raises:
            BitstreamError: the bytes are damaged, foreign, or need another model or irec.
        """
        stream = unpack(data, self._plan)
        header = stream.header
        coded = np.empty((header.colour.n_colour_channels, header.height, header.width), np.uint8)
        residual = ResidualDecoder(stream.residual)
        blank = Planes(header.colour, coded, None)
        codes = iter(stream.tiles)
        for batch in self._batches([blank]):
            tile_codes = [next(codes) for _ in batch]
            parameters = self._decode_tiles(batch, tile_codes, header.seed)
            for work, code, given in zip(batch, tile_codes, parameters, strict=True):
                work.tile.cut(coded)[:] = residual.next(quantise(given, code.grid_offset))
        alpha = None
        if stream.alpha is not None:
            alpha = decompress_alpha(stream.alpha, header.height, header.width)
        planes = Planes(header.colour, coded, alpha)
        check_pixels(header, planes.all_channels)
        return join_planes(planes)

    @torch.inference_mode()
    def ideal_bits(
        self, images: Sequence[UInt8[np.ndarray, "_h _w _c"]], n_samples: int = 1, seed: int = 0
    ) -> list[IdealBits]:
        """Estimate each image's negative ELBO from exact posterior samples.

        Args:
            images: as for :meth:`encode`.
            n_samples: posterior samples to average over.
            seed: of those samples; the global random state stays as it is.
        """
        generator = torch.Generator(self.device).manual_seed(seed)
        sums = np.zeros((len(images), 2))
        for batch in self._batches([split_planes(image) for image in images]):
            pixels = self._pixels(batch).float()
            for _ in range(n_samples):
                source = PosteriorSampler(generator)
                log_prob = self._estimator(pixels, source).log_prob(pixels).double()
                kl = torch.stack(source.kl_nats).double().sum((0, 2, 3, 4))
                for index, work in enumerate(batch):
                    inside = log_prob[index, : len(work.planes.coded)]
                    inside = inside[:, : work.tile.height, : work.tile.width]
                    sums[work.image] += kl[index].item(), -inside.sum().item()
        sums /= n_samples * math.log(2.0)
        return [IdealBits(kl, likelihood) for kl, likelihood in sums.tolist()]

    def sizes(self, data: bytes) -> SectionSizes:
        """Where a file's bits go; raises as :meth:`decode` does, without checking the pixels."""
        return section_sizes(data, self._plan)

    def unpack(self, data: bytes) -> Bitstream:
        """A file's header, steps and indices; raises as :meth:`decode`, pixels left alone."""
        return unpack(data, self._plan)

    def _plan(self, header: Header) -> TilePlan:
        """What model and header together say about a file; called by the container's parser."""
        if header.lossy:
            raise CorruptFileError("a lossy file: this version of irec decodes lossless ones only")
        if header.fingerprint != self.checkpoint.fingerprint:
            raise ModelMismatchError(
                f"the file was made with a model of fingerprint {header.fingerprint.hex()}; "
                f"{self.checkpoint.name} has {self.checkpoint.fingerprint.hex()}"
            )
        if header.height * header.width > MAX_PIXELS:
            raise CorruptFileError(
                f"the header claims {header.height}x{header.width} pixels; irec codes {MAX_PIXELS}"
            )
        expected = self.coder.bits_per_step
        if header.log2_candidates != expected:
            raise CorruptFileError(
                f"the file has {header.log2_candidates} bits per index, irec writes {expected}"
            )
        return self._tile_plan(header.height, header.width)

    def _tile_plan(self, height: int, width: int) -> TilePlan:
        tiles = tiles_of(height, width, self._model.stride)
        return TilePlan(self._side_info, tuple(tile.padded_pixels for tile in tiles))

    def _batches(self, images: Sequence[Planes]) -> Iterator[list[_Work]]:
        """Tiles of all images in order, neighbours of equal size together."""
        batch: list[_Work] = []
        for index, planes in enumerate(images):
            for tile in tiles_of(*planes.size, self._model.stride):
                size = (tile.padded_height, tile.padded_width)
                limit = max(1, _MAX_BATCH_PIXELS // tile.padded_pixels)
                if batch and (
                    len(batch) >= limit
                    or size != (batch[0].tile.padded_height, batch[0].tile.padded_width)
                ):
                    yield batch
                    batch = []
                batch.append(_Work(index, planes, tile))
        if batch:
            yield batch

    def _pixels(self, batch: list[_Work]) -> Tensor:
        """A batch of padded tiles as the model takes them, float64 [n, 3, h, w]."""
        tiles = np.stack([work.tile.cut_and_pad(work.planes.for_model) for work in batch])
        return torch.from_numpy(tiles).to(self.device).double()

    def _encode_tiles(
        self, batch: list[_Work]
    ) -> Iterator[tuple[_Work, TileCode, LogisticParameters]]:
        source = EncodingSource(self.seed, self.coder, self.search)
        with torch.autocast(self.device.type, enabled=False):
            parameters = self._model(self._pixels(batch), source)
        for index, work in enumerate(batch):
            given = _of_tile(parameters, index, work)
            tensors = [
                TensorCode(
                    codes[index].rho_index if codes[index].n_steps else 0,
                    codes[index].indices.numpy(),
                )
                for codes in source.codes
            ]
            yield work, TileCode(safe_grid_offset(given), tensors), given

    def _decode_tiles(
        self, batch: list[_Work], codes: Sequence[TileCode], seed: int
    ) -> list[LogisticParameters]:
        by_tensor = [
            [
                SearchedCode(code.n_steps, code.rho_index, torch.from_numpy(code.indices))
                for code in of_tensor
            ]
            for of_tensor in zip(*(tile.tensors for tile in codes), strict=True)
        ]
        source = DecodingSource(by_tensor, seed, self.coder)
        tile = batch[0].tile
        with torch.autocast(self.device.type, enabled=False):
            parameters = self._model.generate(
                source, None, len(batch), tile.padded_height, tile.padded_width
            )
        return [_of_tile(parameters, index, work) for index, work in enumerate(batch)]

    def _pack(
        self, planes: Planes, tiles: list[TileCode], residual: ResidualEncoder
    ) -> EncodedImage:
        header = Header(
            height=planes.coded.shape[1],
            width=planes.coded.shape[2],
            colour=planes.colour,
            fingerprint=self.checkpoint.fingerprint,
            seed=self.seed,
            log2_candidates=self.coder.bits_per_step,
            checksum=pixel_checksum(planes.all_channels),
        )
        alpha = None if planes.alpha is None else compress_alpha(planes.alpha)
        stream = Bitstream(header, tiles, residual.finish(), alpha)
        data = pack(stream, self._tile_plan(header.height, header.width))
        return EncodedImage(data, self.sizes(data))

    def _verify(self, image: UInt8[np.ndarray, "h w c"], encoded: EncodedImage) -> None:
        """Decode a new file; a file that does not give back the image is never handed out."""
        try:
            is_same = np.array_equal(self.decode(encoded.data), image)
        except BitstreamError as error:
            raise IrecError(
                f"the new file does not decode ({error}); please report this"
            ) from error
        if not is_same:
            raise IrecError("the new file decodes to other pixels; please report this")


def _of_tile(
    parameters: likelihoods.LogisticParameters, index: int, work: _Work
) -> LogisticParameters:
    """One tile's parameters for the residual coder: padding cut off, one channel for grey."""
    n_channels, tile = len(work.planes.coded), work.tile

    def cut(values: Tensor) -> np.ndarray:
        return values[index, :n_channels, : tile.height, : tile.width].cpu().numpy()

    coupling = None
    if parameters.coupling is not None and n_channels == 3:
        coupling = cut(parameters.coupling)
    return LogisticParameters(cut(parameters.mean), cut(parameters.log_scale), coupling)
