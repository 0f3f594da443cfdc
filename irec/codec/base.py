"""What every codec offers, whatever its model: ``encode``, ``decode``, ``ideal``, ``describe``."""

import abc
import copy
import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import UInt8
from torch.distributions import Normal

from irec.bitstream import (
    FORMAT_VERSION,
    Bitstream,
    Header,
    Profile,
    SideInfoModel,
    TileCode,
    TilePlan,
    check_pixels,
    compress_alpha,
    compress_metadata,
    decompress_alpha,
    decompress_metadata,
    pack,
    pixel_checksum,
    pixel_error,
    shortest_beginning,
    unpack,
)
from irec.codec.arguments import checked_device
from irec.codec.encoded import Encoded, FileDescription, Ideal
from irec.codec.latent_sources import NotingSource
from irec.codec.tiles import MAX_PIXELS, Planes, Tile, join_planes, split_planes, tiles_of
from irec.coding import SearchSettings
from irec.defaults import DEFAULT_EFFORT
from irec.errors import (
    BitstreamError,
    CheckpointError,
    CorruptFileError,
    InvalidParameterError,
    IrecError,
    ModelMismatchError,
)
from irec.metadata import Metadata
from irec.models.checkpoint import Checkpoint, CodingStatistics, checksum_of
from irec.models.exact import neutral_torch
from irec.models.sources import LatentSource

#: An image taken apart, and the findings of its file, None where there is none.
Known = tuple[Planes, Any]


class Codec(abc.ABC):
    """Compresses images with one checkpoint; a subclass says how, for one kind of model.

    What it is made with can be read from attributes of the same names.

    Attributes:
        profile: Of the files that the codec makes and reads.
        network: Class of the models that it takes.
        measure_statistics: From a model in float32 and typical images, uint8 [h, w, 3], to what is
            usual when its latent tensors are coded; DataError where no image is large enough.
        search: How hard the encoder looks, as the effort says.
    """

    profile: ClassVar[Profile]
    network: ClassVar[type[Any]]
    measure_statistics: ClassVar["staticmethod[[Any, Sequence[np.ndarray]], CodingStatistics]"]

    @neutral_torch()
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
            checkpoint: The model; decoding needs the same.
            effort: How hard the encoder searches, 1 (fastest) to 9; each level doubles the time.
                Decoding takes the same time whatever it was.
            seed: Of the shared randomness; stands in the file where it is not 0.
            verify: Decode every file and compare before returning it.
            device: Where the model and the search run.

        Raises:
            InvalidParameterError: `effort` is out of range.
            CheckpointError: The checkpoint is of another kind of model.
        """
        if not isinstance(checkpoint.model, self.network):
            raise CheckpointError(
                f"{checkpoint.name} holds a {type(checkpoint.model).__name__}, "
                f"{type(self).__name__} needs a {self.network.__name__}"
            )
        self.checkpoint = checkpoint
        self.search = SearchSettings.from_effort(effort)
        self.effort = int(effort)
        self.seed = seed
        self.verify = verify
        self.device = checked_device(device)
        self._model = self._coding_model()

    @property
    def name(self) -> str:
        """What files are made with, for people."""
        return self.checkpoint.name

    @property
    def has_quality(self) -> bool:
        """Whether `encode` takes a quality."""
        return False

    def encode(self, image: UInt8[np.ndarray, "h w c"], quality: float | None = None) -> Encoded:
        """Compress an image.

        Args:
            image: uint8 [h, w, c] with c = 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGBA); alpha is
                always kept without loss.
            quality: 0 (smallest files) to 100 (best images), in steps of 0.5, of models that have
                such; 50 where it is None.

        Raises:
            UnsupportedImageError: The image is of another kind.
            InvalidParameterError: The model has no such quality.
        """
        return self.encode_batch([image], quality)[0]

    @neutral_torch()
    @torch.inference_mode()
    def encode_batch(
        self, images: Sequence[np.ndarray], quality: float | None = None
    ) -> list[Encoded]:
        """Compress images together where that is faster; arguments as for :meth:`encode`."""
        index = self._quality_index(quality)
        return self._verified(self._encode([split_planes(image) for image in images], index))

    def encode_within(self, image: UInt8[np.ndarray, "h w c"], max_bpp: float) -> Encoded:
        """Compress an image at the best quality whose file has at most `max_bpp` bits per pixel.

        Raises:
            UnsupportedImageError: The image is of another kind.
            InvalidParameterError: The model has one quality, or no file is that small.
        """
        raise InvalidParameterError(f"{self.checkpoint.name} is a model of one quality: no target")

    def encode_reaching(self, image: UInt8[np.ndarray, "h w c"], min_psnr_db: float) -> Encoded:
        """Compress an image at the lowest quality whose PSNR is at least `min_psnr_db`.

        Raises:
            UnsupportedImageError: The image is of another kind.
            InvalidParameterError: The model has one quality, or none is that good.
        """
        raise InvalidParameterError(f"{self.checkpoint.name} is a model of one quality: no target")

    @neutral_torch()
    @torch.inference_mode()
    def decode(self, data: bytes, allow_truncated: bool = False) -> UInt8[np.ndarray, "h w c"]:
        """Decompress a file.

        Args:
            data: The whole file, or its beginning.
            allow_truncated: Decode a lossy file whose end is missing as far as it goes. Its
                checksum is then of no use: damage in what is left goes unnoticed. Lossless files
                are of no use without their end.

        Returns:
            The image, uint8 [h, w, c].

        Raises:
            BitstreamError: The bytes are damaged, foreign, or need another model or irec.
        """
        stream = self.unpack(data, allow_truncated)
        if self.profile.is_lossy:
            self._check_weights()  # of a lossless file the checksum tells
        try:
            planes = self._decode(stream)
        except CorruptFileError as error:
            if not self.profile.has_residual:
                raise
            raise pixel_error(stream.header, str(error)) from error
        if self.profile.has_residual:
            check_pixels(stream, planes.all_channels)
        return join_planes(planes)

    def ideal(
        self,
        image: UInt8[np.ndarray, "h w c"],
        quality: float | None = None,
        n_samples: int = 1,
        seed: int = 0,
        encoded: Encoded | None = None,
    ) -> Ideal:
        """Draw from the exact posterior: what :meth:`encode` would be with a perfect coder.

        Args:
            image: As for :meth:`encode`.
            quality: As for :meth:`encode`.
            n_samples: Posterior samples to average over.
            seed: Of those samples; the global random state stays as it is.
            encoded: What :meth:`encode` made of the same image at the same quality, if it did:
                what was sought out then (refined evidence, calibrations) is not sought again.
        """
        made = None if encoded is None else [encoded]
        return self.ideal_batch([image], quality, n_samples, seed, made)[0]

    @neutral_torch()
    @torch.inference_mode()
    def posteriors(
        self, image: UInt8[np.ndarray, "h w c"], quality: float | None = None
    ) -> list[tuple[Normal, Normal]]:
        """Return posterior and prior of each latent tensor, those before it drawn at random.

        Args:
            image: As for :meth:`encode`.
            quality: As for :meth:`encode`.

        Returns:
            One pair for each tensor of a file, [1, c, h, w].
        """
        source = NotingSource(self.device)
        self._draw(split_planes(image), self._quality_index(quality), source)
        return source.pairs

    @neutral_torch()
    @torch.inference_mode()
    def ideal_batch(
        self,
        images: Sequence[np.ndarray],
        quality: float | None = None,
        n_samples: int = 1,
        seed: int = 0,
        encoded: Sequence[Encoded] | None = None,
    ) -> list[Ideal]:
        """As :meth:`ideal`, of several images."""
        index = self._quality_index(quality)
        findings = [one.findings for one in encoded] if encoded else [None] * len(images)
        known = zip(map(split_planes, images), findings, strict=True)
        return self._ideal(list(known), index, n_samples, seed)

    def attach(self, encoded: Encoded, metadata: Metadata) -> Encoded:
        """Put metadata into a new file, which holds none yet; its pixels stay as they are.

        Raises:
            UnsupportedImageError: There are more than a file holds.
        """
        if not metadata:
            return encoded
        stream = self.unpack(encoded.data)
        stream.header = replace(stream.header, has_metadata=True)
        stream.metadata = compress_metadata(metadata)
        with_metadata = self._finish(stream, encoded.pixels)
        # What was verified is still there: without the metadata it gives the same bytes again.
        again = self.unpack(with_metadata.data)
        again.header, again.metadata = replace(again.header, has_metadata=False), None
        if self._finish(again, encoded.pixels).data != encoded.data:
            raise IrecError("the new file changes with metadata; please report this")
        return with_metadata

    def describe(self, data: bytes) -> FileDescription:
        """Read what a file holds; pixels are decoded only where nothing else tells its end.

        Raises:
            BitstreamError: The bytes are damaged, foreign, or need another model or irec.
        """
        stream = self.unpack(data)
        if self.profile.has_residual and not stream.header.tells_length:
            self.decode(data)  # else bytes that lack or follow would count as pixels
        quality, trade_off = self._quality_of(stream.header)
        return FileDescription(
            format_version=FORMAT_VERSION,
            header=stream.header,
            checkpoint=self.name,
            quality=quality,
            trade_off=trade_off,
            tiles=stream.tiles,
            sections=stream.sizes,
            shortest_beginning=shortest_beginning(stream) if self.profile.is_lossy else None,
            metadata=decompress_metadata(stream.metadata) if stream.metadata else Metadata(),
        )

    def unpack(self, data: bytes, allow_truncated: bool = False) -> Bitstream:
        """Return a file's header, steps and indices; raises BitstreamError."""
        return unpack(data, self._plan, allow_truncated)

    @abc.abstractmethod
    def _encode(self, planes: Sequence[Planes], quality_index: int) -> list[Encoded]:
        """Make the files of images."""

    @abc.abstractmethod
    def _decode(self, stream: Bitstream) -> Planes:
        """Return the image that a file holds; raises BitstreamError."""

    @abc.abstractmethod
    def _draw(self, planes: Planes, quality_index: int, source: LatentSource) -> None:
        """Draw the latent tensors of an image from a source."""

    @abc.abstractmethod
    def _ideal(
        self, images: Sequence[Known], quality_index: int, n_samples: int, seed: int
    ) -> list[Ideal]:
        """Do what :meth:`ideal_batch` says."""

    def _coding_model(self) -> Any:
        """Return a new copy of the model as it codes."""
        return self._copy_of_model(torch.float64)

    @functools.cached_property
    def _estimator(self) -> Any:
        """The model for all that may differ by rounding."""
        return self._copy_of_model(torch.float32)

    @functools.cached_property
    def _checksum(self) -> int:
        """Of the weights that files depend on, from a copy that was made for this alone."""
        if not self.checkpoint.is_intact():
            raise IrecError(f"the weights of {self.name} in memory are not those of its files")
        return checksum_of(self._coding_model().state_dict())

    def _check_weights(self) -> None:
        """Raise IrecError where the weights that code are not those of the checkpoint.

        To decode a new file with the weights that made it would not tell.
        """
        if checksum_of(self._model.state_dict()) != self._checksum:
            raise IrecError(
                f"the weights of {self.name} in memory are not those of its files any more: "
                "something in this process changed them, and what they code no other process "
                "decodes; start it again"
            )

    def _quality_index(self, quality: float | None) -> int:
        """Return a quality as files have it; raises InvalidParameterError."""
        if quality is not None:
            raise InvalidParameterError(f"{self.name} is lossless: it takes no quality")
        return 0

    def _quality_of(self, header: Header) -> tuple[float | None, float | None]:
        """Quality and lambda that a file was made for, as far as the model knows such."""
        return None, None

    def _tiles(self, height: int, width: int) -> list[Tile]:
        return tiles_of(height, width, self._model.stride, self.profile.max_tile_side)

    def _tile_plan(self, header: Header) -> TilePlan:
        """How a file with this header is laid out, of models of one quality."""
        coding = self.checkpoint.coding
        side_info = SideInfoModel(coding.usual_steps, coding.usual_rho)
        tiles = self._tiles(header.height, header.width)
        return TilePlan(side_info, tuple(tile.padded_pixels for tile in tiles))

    def _copy_of_model(self, dtype: torch.dtype) -> Any:
        """Return the model on the device."""
        # Weights born in inference mode, in which Lightning predicts, take part in no gradient.
        with torch.inference_mode(False):
            return copy.deepcopy(self.checkpoint.model).to(self.device, dtype)

    def _pack(
        self,
        planes: Planes,
        tiles: list[TileCode],
        pixels: UInt8[np.ndarray, "h w c"],
        residual: bytes = b"",
        quality_index: int = 0,
    ) -> Encoded:
        """Make the file of an image whose tiles are coded; `pixels` are what it decodes to."""
        fingerprint, size = self.checkpoint.fingerprint, planes.size
        header = Header(self.profile, fingerprint, *size, planes.colour, self.seed, quality_index)
        alpha = None if planes.alpha is None else compress_alpha(planes.alpha)
        checksum = pixel_checksum(planes.all_channels) if self.profile.has_residual else 0
        return self._finish(Bitstream(header, tiles, residual, alpha, checksum), pixels)

    def _finish(self, stream: Bitstream, pixels: UInt8[np.ndarray, "h w c"]) -> Encoded:
        data = pack(stream, self._tile_plan(stream.header))
        return Encoded(data, stream.sizes, pixels, self._quality_of(stream.header)[0])

    def _with_alpha(self, stream: Bitstream, coded: UInt8[np.ndarray, "c h w"]) -> Planes:
        """Put what the model coded and the file's alpha plane together."""
        header, data = stream.header, stream.alpha
        alpha = None if data is None else decompress_alpha(data, header.height, header.width)
        return Planes(header.colour, coded, alpha)

    def _verified(self, files: list[Encoded]) -> list[Encoded]:
        """Return new files; none is handed out that others would decode to something else."""
        self._check_weights()
        for one in files if self.verify else ():
            try:
                is_same = np.array_equal(self.decode(one.data), one.pixels)
            except BitstreamError as error:
                raise IrecError(
                    f"the new file does not decode ({error}); please report this"
                ) from error
            if not is_same:
                raise IrecError("the new file decodes to other pixels; please report this")
        return files

    def _plan(self, header: Header) -> TilePlan:
        """Return what model and header together say about a file; the container's parser asks."""
        if header.fingerprint != self.checkpoint.fingerprint:
            raise ModelMismatchError(
                f"the file was made with a model of fingerprint {header.fingerprint.hex()}; "
                f"{self.checkpoint.name} has {self.checkpoint.fingerprint.hex()}"
            )
        if header.profile != self.profile:
            raise CorruptFileError(
                f"the file says that it is {header.profile.name}, which its model is not"
            )
        if header.height * header.width > MAX_PIXELS:
            raise CorruptFileError(
                f"the header claims {header.width}x{header.height} pixels; irec codes {MAX_PIXELS}"
            )
        return self._tile_plan(header)
