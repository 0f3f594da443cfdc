"""Image -> bytes -> the same image: where model, coder and bitstream meet.

Encoder and decoder run the same generative pass in float64, without autocast. What they must agree
on exactly never touches a float: indices are integers, and likelihood parameters are rounded to a
grid whose boundaries the encoder has kept clear (:mod:`irec.bitstream.grid`).
"""

import copy
import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import UInt8

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
from irec.codec.batches import TileWork, batches_of_tiles, parameters_of, pixels_of
from irec.codec.encoded import EncodedImage, IdealBits
from irec.codec.latent_sources import DecodingSource, EncodingSource
from irec.codec.planes import MAX_PIXELS, Planes, join_planes, split_planes
from irec.codec.tiles import tiles_of
from irec.coding import CoderSettings, SearchSettings
from irec.coding import TensorCode as SearchedCode
from irec.errors import BitstreamError, CorruptFileError, IrecError, ModelMismatchError
from irec.models.latent_source import PosteriorSampler
from irec.models.zoo import Checkpoint

DEFAULT_EFFORT = 5


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
        for batch in batches_of_tiles(planes, self._model.stride):
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
        for batch in batches_of_tiles([blank], self._model.stride):
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
        planes = [split_planes(image) for image in images]
        sums = np.zeros((len(planes), 2))
        for batch in batches_of_tiles(planes, self._model.stride):
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

    def _encode_tiles(
        self, batch: list[TileWork]
    ) -> Iterator[tuple[TileWork, TileCode, LogisticParameters]]:
        source = EncodingSource(self.seed, self.coder, self.search)
        with torch.autocast(self.device.type, enabled=False):
            parameters = self._model(pixels_of(batch, self.device), source)
        for index, work in enumerate(batch):
            given = parameters_of(parameters, index, work)
            found = [codes[index] for codes in source.codes]
            tensors = [TensorCode(code.rho_index, code.indices.numpy()) for code in found]
            yield work, TileCode(safe_grid_offset(given), tensors), given

    def _decode_tiles(
        self, batch: list[TileWork], codes: Sequence[TileCode], seed: int
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
        return [parameters_of(parameters, index, work) for index, work in enumerate(batch)]

    def _pack(
        self, planes: Planes, tiles: list[TileCode], residual: ResidualEncoder
    ) -> EncodedImage:
        height, width = planes.size
        header = Header(
            height=height,
            width=width,
            colour=planes.colour,
            fingerprint=self.checkpoint.fingerprint,
            seed=self.seed,
            log2_candidates=self.coder.bits_per_step,
            checksum=pixel_checksum(planes.all_channels),
        )
        alpha = None if planes.alpha is None else compress_alpha(planes.alpha)
        stream = Bitstream(header, tiles, residual.finish(), alpha)
        data = pack(stream, self._tile_plan(height, width))
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
