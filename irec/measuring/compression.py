"""What a run takes and gives: the coder's options, files, rows of the table."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import UInt8

from irec.codec import Codec, make_codec, nearest_quality
from irec.datamodules.batches import FailedImage
from irec.defaults import DEFAULT_EFFORT
from irec.errors import InvalidParameterError
from irec.evaluation.results import Row
from irec.models.checkpoint import Checkpoint
from irec.models.registry import kind_of

_REFERENCE_OPTIONS = ("n_beams", "extra_samples", "kl_per_partition", "block_size")
_DEFAULT_QUALITIES = (0.0, 25.0, 50.0, 75.0, 100.0)


@dataclass(frozen=True)
class CoderOptions:
    """How images are coded; on predict's command line --coder.*, never part of a checkpoint.

    Attributes:
        effort: How hard the encoder searches, 1 (fastest) to 9 (smallest files); each level
            doubles the time. Decoding takes the same time whatever it was.
        seed: Of the shared randomness; stands in the file where it is not 0.
        ideal_samples: Posterior samples over which the ideal (the negative ELBO, or rate and
            distortion of a lossy model) is averaged.
        qualities: Of lossy models of many qualities only: each image is compressed at each of
            these, from 0 to 100 in steps of 0.5. Default: 0, 25, 50, 75 and 100.
        refinement_steps: Of lossy models only: steps that fit each image's posterior; by default
            as many as the effort says.
        sampler: The published coder in place of ours, for comparison (RVAE only; slow): how its
            auxiliary variables are chosen. Files are as long as its codes, decoded and verified,
            but no other command reads them.
        n_beams: Of "beam_search": partial samples that are kept. Default: 20.
        extra_samples: 1 + epsilon of the published coder: a step has
            exp(kl_per_partition * extra_samples) candidates. Default: 1.2.
        kl_per_partition: Omega, nats of each auxiliary variable. Default: 3.
        block_size: Dimensions that are coded together. Default: 1000.
    """

    effort: int = DEFAULT_EFFORT
    seed: int = 0
    ideal_samples: int = 4
    qualities: list[float] | None = None
    refinement_steps: int | None = None
    sampler: Literal["beam_search", "importance", "rejection"] | None = None
    n_beams: int | None = None
    extra_samples: float | None = None
    kl_per_partition: float | None = None
    block_size: int | None = None

    def codec(self, checkpoint: Checkpoint, device: str | torch.device = "cpu") -> Codec:
        """Return the codec that these options ask for; it verifies nothing, whoever measures does.

        Raises:
            InvalidParameterError: An option is out of range, or for models of another kind.
        """
        more = {}
        if self.refinement_steps is not None:
            if not kind_of(checkpoint.model.config).resolve_codec().profile.is_lossy:
                raise InvalidParameterError("--coder.refinement_steps is for lossy models only")
            more["refinement_steps"] = self.refinement_steps
        # Apple's GPUs compute in float32 at most, which is too little to decode elsewhere.
        where = "cpu" if torch.device(device).type == "mps" else device
        if self.sampler is not None:
            return self._reference_codec(checkpoint, where)
        for name in _REFERENCE_OPTIONS:
            if getattr(self, name) is not None:
                raise InvalidParameterError(
                    f"--coder.{name} needs --coder.sampler: it has no part "
                    "in irec's own coder, whose knob is --coder.effort"
                )
        options = {"effort": self.effort, "seed": self.seed, "verify": False, "device": where}
        return make_codec(checkpoint, **options, **more)

    def _reference_codec(self, checkpoint: Checkpoint, device: str | torch.device) -> Codec:
        # Imported where it is asked for.
        from irec.codec.reference import ReferenceCodec
        from irec.coding.faithful import FaithfulSettings, Sampler

        given = {
            "sampler": Sampler(str(self.sampler).removesuffix("_search")),
            "kl_per_step_nats": self.kl_per_partition,
            "extra_candidates": None if self.extra_samples is None else self.extra_samples - 1.0,
            "n_beams": self.n_beams,
            "block_size": self.block_size,
        }
        known: dict[str, Any] = {name: x for name, x in given.items() if x is not None}
        settings = FaithfulSettings(**known)
        return ReferenceCodec(checkpoint, settings, seed=self.seed, device=device)

    def qualities_for(self, codec: Codec) -> Sequence[float | None]:
        """Return what each image is compressed at: None alone where a model knows one quality.

        Raises:
            InvalidParameterError: No qualities were asked for, or of a model that has none.
        """
        if not codec.has_quality:
            if self.qualities is not None:
                raise InvalidParameterError(
                    f"--coder.qualities is for lossy models of several qualities; "
                    f"{codec.checkpoint.name} is none"
                )
            return [None]
        if self.qualities is not None and not self.qualities:
            raise InvalidParameterError("--coder.qualities is empty: name at least one")
        # Each but once: files of the same quality are the same.
        wanted = _DEFAULT_QUALITIES if self.qualities is None else self.qualities
        return list(dict.fromkeys(map(nearest_quality, wanted)))


@dataclass(frozen=True)
class CompressedImage:
    """A file and its row in the table of results.

    Attributes:
        data: Bytes of the file.
        result: Its row.
        pixels: uint8 [h, w, c], of the image that was compressed.
        is_kept: Whether an earlier run made the file.
    """

    data: bytes
    result: Row
    pixels: UInt8[np.ndarray, "h w c"]
    is_kept: bool = False


@dataclass(frozen=True)
class CompressedBatch:
    """What became of a batch: every image is in one of the two lists."""

    images: list[CompressedImage] = field(default_factory=list)
    failures: list[FailedImage] = field(default_factory=list)
