"""What the lossless and the lossy codec share: settings, and reading a file's structure."""

import copy
from typing import Any

import torch

from irec.bitstream import Bitstream, Header, SectionSizes, TilePlan, section_sizes, unpack
from irec.codec.planes import MAX_PIXELS
from irec.coding import CoderSettings, SearchSettings
from irec.errors import CorruptFileError, ModelMismatchError
from irec.models.zoo import Checkpoint

DEFAULT_EFFORT = 5


class Codec:
    """Compresses images with one checkpoint; a subclass says how.

    Attributes:
        checkpoint: the model; decoding needs the same.
        coder: what encoder and decoder share beside the model.
        seed: of the shared randomness of new files.
        verify: whether every new file is decoded and compared before it is returned.
        device: where model and search run.
    """

    is_lossy: bool

    def __init__(
        self,
        checkpoint: Checkpoint,
        coder: CoderSettings,
        effort: int,
        seed: int,
        verify: bool,
        device: str | torch.device,
    ) -> None:
        """Set up a codec; raises InvalidParameterError where `effort` is out of range."""
        self.checkpoint = checkpoint
        self.coder = coder
        self.search = SearchSettings.from_effort(effort)
        self.seed = seed
        self.verify = verify
        self.device = torch.device(device)

    def _copies_of(self, model: Any) -> tuple[Any, Any]:
        """The model in float64 for coding, and in float32 for all that may differ by rounding."""
        # Weights born in inference mode, in which Lightning predicts, take part in no gradient.
        with torch.inference_mode(False):
            on_device = copy.deepcopy(model).to(self.device)
            return copy.deepcopy(on_device).double(), on_device

    def sizes(self, data: bytes) -> SectionSizes:
        """Where a file's bits go; raises BitstreamError, but the pixels are not checked."""
        return section_sizes(data, self._plan)

    def unpack(self, data: bytes, allow_truncated: bool = False) -> Bitstream:
        """A file's header, steps and indices; raises as :meth:`sizes`."""
        return unpack(data, self._plan, allow_truncated)

    def _plan(self, header: Header) -> TilePlan:
        """What model and header together say about a file; called by the container's parser."""
        if header.fingerprint != self.checkpoint.fingerprint:
            raise ModelMismatchError(
                f"the file was made with a model of fingerprint {header.fingerprint.hex()}; "
                f"{self.checkpoint.name} has {self.checkpoint.fingerprint.hex()}"
            )
        if header.lossy != self.is_lossy:
            raise CorruptFileError(f"the file says lossy={header.lossy}, which its model is not")
        if header.height * header.width > MAX_PIXELS:
            raise CorruptFileError(
                f"the header claims {header.height}x{header.width} pixels; irec codes {MAX_PIXELS}"
            )
        expected = self.coder.bits_per_step
        if header.log2_candidates != expected:
            raise CorruptFileError(
                f"the file has {header.log2_candidates} bits per index, irec writes {expected}"
            )
        return self._tile_plan(header)

    def _tile_plan(self, header: Header) -> TilePlan:
        """How a file with this header is laid out."""
        raise NotImplementedError
