"""Image -> bytes -> an image like it: the latents of a lossy model are all that the file holds.

Encoder and decoder run the same generative pass in float64, so that a decoded image differs between
devices only where a value lies within its rounding error of the middle between two grey levels.
"""

import functools
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from irec.bitstream import LOSSY, Bitstream, Header, SideInfoModel, TileCode, TilePlan
from irec.codec.base import Codec, Encoded, Ideal, Known
from irec.codec.export import measure_lossy
from irec.codec.latent_sources import (
    DecodingSource,
    EncodingSource,
    GroupedSource,
    progression,
)
from irec.codec.lossy_passes import Refiner, analyse, render
from irec.codec.qualities import Qualities, first_that_fits, interpolated
from irec.codec.tiles import Planes, Tile, join_planes, split_planes
from irec.errors import InvalidParameterError
from irec.images import psnr_db
from irec.models.checkpoint import Checkpoint
from irec.models.exact import neutral_torch
from irec.models.lossy_model import POSITION_PIXELS, LossyModel
from irec.models.sources import LatentSource, PosteriorSampler
from irec.progress import Progress

# By effort. What steps win and cost: `irec predict --coder.refinement_steps N` with a lossy model.
_REFINEMENT_STEPS = {**dict.fromkeys(range(1, 7), 0), 7: 8, 8: 16, 9: 24}
# What the coder usually sends for a bit of KL (`irec benchmark coder --checkpoint NAME`), for the
# first file that is made for a target.
_BITS_SENT_PER_BIT = 1.06
# Targets are sought among all qualities by estimates at every so many.
_ESTIMATE_EVERY = 8


class LossyCodec(Codec):
    """Compresses images with one checkpoint of a lossy model."""

    profile = LOSSY
    network = LossyModel
    measure_statistics = staticmethod(measure_lossy)

    def __init__(
        self, checkpoint: Checkpoint, *, refinement_steps: int | None = None, **options: Any
    ) -> None:
        """Set up a codec; errors as for :class:`Codec`.

        Args:
            checkpoint: As for :class:`Codec`.
            refinement_steps: Of descent on what was inferred of each image before it is coded (see
                :mod:`irec.codec.lossy_passes`); as the effort says where it is None.
            options: As for :class:`Codec`.
        """
        super().__init__(checkpoint, **options)
        if refinement_steps is None:
            refinement_steps = _REFINEMENT_STEPS[self.effort]
        elif refinement_steps < 0:
            raise InvalidParameterError(f"there are no {refinement_steps} refinement steps")
        is_refined = self._model.config.distortion == "mse"
        self.refinement_steps = refinement_steps if is_refined else 0
        self.qualities = Qualities(self._model.config.lambdas, checkpoint.name)
        self._groups = checkpoint.coding.channel_groups
        # Latents and quality that encoding rendered last, and the image; see `_rendered`.
        self._to_verify: tuple[Tensor, int, UInt8[np.ndarray, "3 h w"]] | None = None

    @property
    def has_quality(self) -> bool:
        """Whether the model has more than one quality."""
        return self.qualities.has_quality

    @neutral_torch()
    @torch.inference_mode()
    def encode_within(self, image: UInt8[np.ndarray, "h w c"], max_bpp: float) -> Encoded:
        """Compress an image to a size; see :meth:`Codec.encode_within`."""
        if not max_bpp > 0.0:
            raise InvalidParameterError(f"bits per pixel are more than 0, not {max_bpp:g}")
        if not self.has_quality:
            return super().encode_within(image, max_bpp)
        planes = split_planes(image)
        max_bits = max_bpp * planes.size[0] * planes.size[1]
        return self._first_that_fits(
            planes,
            lambda index: _BITS_SENT_PER_BIT * self._sampled_latents(planes, index)[0] - max_bits,
            lambda encoded: encoded.file_bits - max_bits,
            f"{max_bpp:g} bits per pixel are",
            highest_first=True,
        )

    @neutral_torch()
    @torch.inference_mode()
    def encode_reaching(self, image: UInt8[np.ndarray, "h w c"], min_psnr_db: float) -> Encoded:
        """Compress an image to a PSNR; see :meth:`Codec.encode_reaching`."""
        if not min_psnr_db > 0.0:
            raise InvalidParameterError(f"decibels are more than 0, not {min_psnr_db:g}")
        if not self.has_quality:
            return super().encode_reaching(image, min_psnr_db)
        planes = split_planes(image)
        original = planes.coded.transpose(1, 2, 0)

        def missing_db(pixels: UInt8[np.ndarray, "h w c"]) -> float:
            return min_psnr_db - psnr_db(original, pixels[:, :, : original.shape[2]])

        return self._first_that_fits(
            planes,
            lambda index: missing_db(self._sample(planes, index)[1]),
            lambda encoded: missing_db(encoded.pixels),
            f"a PSNR of {min_psnr_db:g} dB is",
            highest_first=False,
        )

    def _first_that_fits(
        self,
        planes: Planes,
        estimate: Callable[[int], float],
        excess: Callable[[Encoded], float],
        target: str,
        highest_first: bool,
    ) -> Encoded:
        """Seek the file of the most preferred quality whose excess is not positive."""
        last = self.profile.max_quality_index
        some = [*range(0, last, _ESTIMATE_EVERY), last]
        progress, known = Progress("estimating", len(some)), {}
        for index in some:
            known[index] = estimate(index)
            progress.add(1)
        order = slice(None, None, -1 if highest_first else 1)
        found = first_that_fits(
            range(last + 1)[order],
            interpolated(known, last + 1)[order],
            lambda index: self._encode_one(planes, index),
            excess,
        )
        if found is None:
            raise InvalidParameterError(f"{target} out of this model's reach for this image")
        return self._verified([found])[0]

    def _encode(self, planes: Sequence[Planes], quality_index: int) -> list[Encoded]:
        return [self._encode_one(one, quality_index) for one in planes]

    def _decode(self, stream: Bitstream) -> Planes:
        header, codes = stream.header, stream.tiles[0].tensors
        source = DecodingSource(header.seed, self.profile.coder, [[code] for code in codes], True)
        blank = np.empty((0, header.height, header.width), np.uint8)
        planes = self._with_alpha(stream, blank)
        latents = self._latents(self._model, source, planes, header.quality_index, None)
        return self._image(self._rendered(latents, header.quality_index), planes)

    def _ideal(
        self, images: Sequence[Known], quality_index: int, n_samples: int, seed: int
    ) -> list[Ideal]:
        return [self._ideal_of_one(*image, quality_index, n_samples, seed) for image in images]

    def _draw(self, planes: Planes, quality_index: int, source: LatentSource) -> None:
        evidence = self._infer(planes, quality_index, self.refinement_steps)
        self._latents(self._estimator, source, planes, quality_index, evidence)

    def _ideal_of_one(
        self, planes: Planes, evidence: Any, index: int, n_samples: int, seed: int
    ) -> Ideal:
        evidence = evidence or self._infer(planes, index, self.refinement_steps)
        samples = [self._sample(planes, index, seed + n, evidence) for n in range(n_samples)]
        bits, pixels = zip(*samples, strict=True)
        return Ideal(sum(bits) / n_samples, pixels=pixels)

    def _quality_index(self, quality: float | None) -> int:
        return self.qualities.index_of(quality)

    def _quality_of(self, header: Header) -> tuple[float | None, float | None]:
        index = header.quality_index
        return self.qualities.quality_of(index), self.qualities.lambda_of(index)

    def _encode_one(self, planes: Planes, index: int) -> Encoded:
        progress = Progress("encoding", len(self._n_dims(self._tile(*planes.size))))
        source = EncodingSource(
            self.seed, self.profile.coder, search=self.search, progress=progress
        )
        evidence = self._infer(planes, index, self.refinement_steps)
        with warnings.catch_warnings():
            # A sample that misses its posterior makes an image a little worse, not a wrong one.
            warnings.filterwarnings("ignore", message=".*miss their posteriors")
            latents = self._latents(self._model, source, planes, index, evidence)
        codes = TileCode([codes[0] for codes in source.codes])
        colour = self._render(self._model, latents, index)
        self._to_verify = (latents, index, colour) if self.verify else None
        pixels = join_planes(self._image(colour, planes))
        packed = self._pack(planes, [codes], pixels, quality_index=index)
        return replace(packed, findings=evidence)

    def _sample(
        self, planes: Planes, index: int, seed: int = 0, evidence: Any = None
    ) -> tuple[float, UInt8[np.ndarray, "h w c"]]:
        """KL in bits, and image, of one exact posterior sample."""
        bits, latents = self._sampled_latents(planes, index, seed, evidence)
        return bits, join_planes(self._image(self._render(self._estimator, latents, index), planes))

    def _sampled_latents(
        self, planes: Planes, index: int, seed: int = 0, evidence: Any = None
    ) -> tuple[float, Tensor]:
        """KL in bits, what a perfect coder would send, and latents of one posterior sample."""
        source = PosteriorSampler(torch.Generator(self.device).manual_seed(seed))
        evidence = evidence or self._infer(planes, index)
        latents = self._latents(self._estimator, source, planes, index, evidence)
        return sum(float(kl.double().sum()) for kl in source.kl_nats) / math.log(2.0), latents

    def _infer(self, planes: Planes, index: int, refinement_steps: int = 0) -> Any:
        """Run the inference pass; the decoder has no part in it, so float32 will do."""
        anchor_position = self._anchor_position(index).float()
        pixels = self._tile(*planes.size).cut_and_pad(planes.for_model)
        trade_off = self.qualities.lambda_of(index)
        model = self._estimator
        refiner = Refiner(model, pixels, planes.size, trade_off, anchor_position, refinement_steps)
        with torch.autocast(self.device.type, enabled=False):
            analysed = analyse(model, pixels, anchor_position)
            return refiner.refine(model.evidence(analysed, anchor_position))

    def _latents(
        self, model: LossyModel, source: LatentSource, planes: Planes, index: int, evidence: Any
    ) -> Tensor:
        """Run the generative pass down to the latents, the same for all that code and sample."""
        grouped = GroupedSource(source, model.n_latent_tensors - 1, self._groups)
        anchor_position = self._anchor_position(index).to(next(model.parameters()).dtype)
        size = self._tile(*planes.size).padded_size
        with torch.autocast(self.device.type, enabled=False):
            return model.latents(grouped, evidence, *size, anchor_position)

    def _rendered(self, latents: Tensor, index: int) -> UInt8[np.ndarray, "3 h w"]:
        """Render what a file holds; not once more where verification finds the encoder's latents.

        Equal latents make equal images: a second time would tell nothing new, at a tenth of the
        time of encoding.
        """
        known, self._to_verify = self._to_verify, None
        if known is not None and known[1] == index and torch.equal(known[0], latents):
            return known[2]
        return self._render(self._model, latents, index)

    def _render(self, model: LossyModel, latents: Tensor, index: int) -> UInt8[np.ndarray, "3 h w"]:
        """Run the rest of the pass, from latents to the padded image."""
        with torch.autocast(self.device.type, enabled=False):
            return render(model, latents, self._anchor_position(index).to(latents.dtype))

    def _image(self, colour: UInt8[np.ndarray, "3 h w"], planes: Planes) -> Planes:
        """Cut padding off, and keep what is not the model's as it was."""
        inside = self._tile(*planes.size).cut(colour)
        if planes.colour.n_coded_channels == 1:
            inside = ((inside.sum(0, dtype=np.uint16, keepdims=True) + 1) // 3).astype(np.uint8)
        return Planes(planes.colour, inside, planes.alpha)

    def _anchor_position(self, index: int) -> Float[Tensor, "1"]:
        """Where among the model's anchors a quality lies."""
        anchor_position = [self.qualities.anchor_position_of(index)]
        return torch.tensor(anchor_position, dtype=torch.float64, device=self.device)

    def _tile(self, height: int, width: int) -> Tile:
        """All of the image, padded as the model needs it."""
        return self._tiles(height, width)[0]

    def _tile_plan(self, header: Header) -> TilePlan:
        tile = self._tile(header.height, header.width)
        n_dims, n_pixels = self._n_dims(tile), tile.padded_pixels
        anchor = self.qualities.nearest_anchor(header.quality_index)
        usual = slice(len(n_dims) * anchor, len(n_dims) * (anchor + 1))
        coding = self.checkpoint.coding
        side_info = SideInfoModel(coding.usual_steps[usual], coding.usual_rho[usual])
        mix = functools.partial(progression, n_dims=n_dims, coder=self.profile.coder)
        # Without groups, each tensor's prior needs all of those before it.
        return TilePlan(side_info, (n_pixels,), mix if self._groups else None)

    def _n_dims(self, tile: Tile) -> list[int]:
        """Dimensions of each tensor in the file: the model's, the last cut into groups if any."""
        n_dims = self._model.n_latent_dims(*tile.padded_size)
        if not self._groups:
            return list(n_dims)
        n_positions = tile.padded_pixels // POSITION_PIXELS**2
        return [*n_dims[:-1], *(len(group) * n_positions for group in self._groups)]
