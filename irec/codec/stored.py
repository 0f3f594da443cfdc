"""Images without a model: what a general format takes fewer bytes for, such as line art."""

from collections.abc import Sequence

import torch

from irec.bitstream import (
    STORED,
    Bitstream,
    Header,
    SideInfoModel,
    TilePlan,
    load_stored,
    store,
)
from irec.codec.base import Codec, Known
from irec.codec.encoded import Encoded, Ideal
from irec.codec.tiles import Planes, join_planes, split_planes
from irec.errors import InvalidParameterError
from irec.models.sources import LatentSource


class StoredCodec(Codec):
    """Keeps images as lossless WebP, as PNG or as they are; needs no checkpoint."""

    profile = STORED
    network = object

    def __init__(self, *, verify: bool = True) -> None:
        """Set up a codec.

        Args:
            verify: Decode every file and compare before returning it.
        """
        self.verify = verify
        self.seed = 0
        self.device = torch.device("cpu")

    @property
    def name(self) -> str:
        """No model's."""
        return "none"

    def _quality_index(self, quality: float | None) -> int:
        if quality is not None:
            raise InvalidParameterError("images without a model are kept without loss: no quality")
        return 0

    def _encode(self, planes: Sequence[Planes], quality_index: int) -> list[Encoded]:
        return [self._encode_one(one) for one in planes]

    def _encode_one(self, planes: Planes) -> Encoded:
        header, image = Header(self.profile, b"", *planes.size, planes.colour), join_planes(planes)
        return self._finish(Bitstream(header, stored=store(image)), image)

    def _decode(self, stream: Bitstream) -> Planes:
        header = stream.header
        size = (header.height, header.width, header.n_channels)
        return split_planes(load_stored(stream.stored, *size))

    def _draw(self, planes: Planes, quality_index: int, source: LatentSource) -> None:
        raise InvalidParameterError("without a model there are no latent tensors")

    def _ideal(
        self, images: Sequence[Known], quality_index: int, n_samples: int, seed: int
    ) -> list[Ideal]:
        raise InvalidParameterError("without a model there is no ideal")

    def _check_weights(self) -> None:
        """Pass: there are none."""

    def _plan(self, header: Header) -> TilePlan:
        return self._tile_plan(header)

    def _tile_plan(self, header: Header) -> TilePlan:
        return TilePlan(SideInfoModel((), ()), ())
