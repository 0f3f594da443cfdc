"""What the compression loop takes and gives: the coder's options, files, rows of the table."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from irec.coding import DEFAULT_EFFORT
from irec.datamodules.batches import FailedImage
from irec.evaluation.results import Row


@dataclass(frozen=True)
class CoderOptions:
    """How predict codes; on the command line --coder.*, never part of a model's checkpoint.

    Attributes:
        effort: how hard the encoder searches, 1 (fastest) to 9 (smallest files); each level
            doubles the time. Decoding takes the same time whatever it was.
        seed: of the shared randomness; stands in the file where it is not 0.
        ideal_samples: posterior samples over which the ideal (the negative ELBO, or rate and
            distortion of a lossy model) is averaged.
        qualities: of lossy models of many rates only: each image is compressed at each of these,
            from 0 to 100 in steps of 0.5. Default: 0, 25, 50, 75 and 100.
    """

    effort: int = DEFAULT_EFFORT
    seed: int = 0
    ideal_samples: int = 4
    qualities: list[float] | None = None
    refinement_steps: int | None = None


@dataclass(frozen=True)
class CompressedImage:
    """A file and its row in the table of results.

    Attributes:
        data: bytes of the file.
        result: its row.
        pixels: uint8 [h, w, c], of the image that was compressed.
        is_kept: whether an earlier run made the file.
    """

    data: bytes
    result: Row
    pixels: UInt8[np.ndarray, "h w c"]
    is_kept: bool = False


@dataclass(frozen=True)
class CompressedBatch:
    """What became of a batch: every image is in one of the two lists."""

    images: list[CompressedImage]
    failures: list[FailedImage]
