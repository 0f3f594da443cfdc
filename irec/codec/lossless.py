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
    Bitstream,
    Header,
    LogisticParameters,
    ResidualDecoder,
    ResidualEncoder,
    SideInfoModel,
    TileCode,
    TilePlan,
    check_pixels,
    compress_alpha,
    decompress_alpha,
    pack,
    pixel_checksum,
    quantise,
    safe_grid_offset,
)
from irec.codec.base import DEFAULT_EFFORT, Codec
from irec.codec.batches import TileWork, batches_of_tiles, parameters_of, pixels_of
from irec.codec.codes import from_file, to_file
from irec.codec.encoded import EncodedImage, IdealBits
from irec.codec.latent_sources import DecodingSource, EncodingSource
from irec.codec.planes import Planes, join_planes, split_planes
from irec.codec.tiles import tiles_of
from irec.coding import CoderSettings
from irec.errors import BitstreamError, CheckpointError, IrecError
from irec.models.latent_source import PosteriorSampler
from irec.models.rvae import RVAE
from irec.models.zoo import Checkpoint


class LosslessCodec(Codec):
    """Compresses images with one checkpoint of an RVAE, and gives back each pixel."""

    is_lossy = False

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
            CheckpointError: the checkpoint is of a lossy model.
        """
        super().__init__(checkpoint, CoderSettings(), effort, seed, verify, device)
        if not isinstance(checkpoint.model, RVAE):
            raise CheckpointError(
                f"{checkpoint.name} is a lossy model (compress --lossy takes it); lossless "
                "compression needs an RVAE"
            )
        self._model, self._estimator = self._copies_of(checkpoint.model)
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
        stream = self.unpack(data)
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

    def _tile_plan(self, header: Header) -> TilePlan:
        tiles = tiles_of(header.height, header.width, self._model.stride)
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
            yield work, TileCode(to_file(found), safe_grid_offset(given)), given

    def _decode_tiles(
        self, batch: list[TileWork], codes: Sequence[TileCode], seed: int
    ) -> list[LogisticParameters]:
        by_tensor = [
            list(of_tensor)
            for of_tensor in zip(*(from_file(tile.tensors) for tile in codes), strict=True)
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
        data = pack(stream, self._tile_plan(header))
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
