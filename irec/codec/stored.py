"""Images without a model: what a general format takes fewer bytes for, such as line art."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8

from irec.bitstream import (
    STORED,
    Bitstream,
    Header,
    TilePlan,
    load_stored,
    store,
)
from irec.codec.base import Codec
from irec.codec.encoded import Encoded, Ideal
from irec.codec.planes import split_planes
from irec.errors import InvalidParameterError
from irec.models.zoo import CodingStatistics


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

    def _prepare(self) -> None:
        """Nothing: there is no model."""

    def encode(self, image: UInt8[np.ndarray, "h w c"], quality: float | None = None) -> Encoded:
        """Compress an image; see :meth:`Codec.encode`."""
        if quality is not None:
            raise InvalidParameterError("images without a model are kept without loss: no quality")
        planes = split_planes(image)
        header = Header(self.profile, b"", *planes.size, planes.colour)
        stream = Bitstream(header, stored=store(image))
        return self._verified(self._finish(stream, image))

    def decode(self, data: bytes, allow_truncated: bool = False) -> UInt8[np.ndarray, "h w c"]:
        """Decompress a file; see :meth:`Codec.decode`. It is of no use without its end."""
        stream = self.unpack(data)
        header = stream.header
        return load_stored(stream.stored, header.height, header.width, header.n_channels)

    def ideal(
        self,
        image: UInt8[np.ndarray, "h w c"],
        quality: float | None = None,
        n_samples: int = 1,
        seed: int = 0,
    ) -> Ideal:
        """There is none without a model; raises InvalidParameterError."""
        raise InvalidParameterError("without a model there is no ideal")

    @staticmethod
    def measure_statistics(model: Any, images: Sequence[np.ndarray]) -> CodingStatistics:
        """There are none without a model; raises InvalidParameterError."""
        raise InvalidParameterError("without a model there are no statistics")

    def _plan(self, header: Header) -> TilePlan:
        return self._tile_plan(header)

    def _tile_plan(self, header: Header) -> TilePlan:
        return TilePlan(self.profile.side_info_model((), ()), ())
