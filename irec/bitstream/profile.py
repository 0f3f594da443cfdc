"""Profiles: every constant that the bytes of a kind of file depend on stands here.

A file's header names its profile. Whoever changes a number here changes the format: pinned files in
``tests/golden`` and ``docs/format.md`` change with it, and once a version is released, a change
takes a new profile or a new ``FORMAT_VERSION``. What the encoder is free to choose (beams,
refinement, what it leaves out) stands with the encoder, for no decoder needs it.

What all profiles share and what is algorithm rather than number stands where it is computed: the
counters of the shared randomness, the table of normals and the 80 schedules in ``irec.coding``,
rounding grids, what side information expects and the integer logistic function in
``irec.bitstream``.
"""

from dataclasses import dataclass

from irec.coding import CoderSettings
from irec.files import FINGERPRINT_BYTES


@dataclass(frozen=True)
class Profile:
    """The constants of one kind of file.

    Attributes:
        number: As the header has it, 0 to 7.
        name: For people.
        coder: Blocks, steps, candidates and order of the relative entropy coder.
        max_tile_side: Larger images are cut into tiles of at most so many pixels a side, each coded
            by itself; None where an image is always one tile.
        max_quality_index: Of a lossy file the header holds a quality from 0 to this.
        max_latent_bits_per_pixel: A file that claims more was not made from an image, and is
            refused before anything is allocated; None where the coder's own limit will do.
        has_model: Whether a model had a part in the file, which its fingerprint then names.
        has_residual: Whether pixels are coded given the latent tensors, so that they come back
            exactly.
    """

    number: int
    name: str
    coder: CoderSettings
    max_tile_side: int | None
    max_quality_index: int = 0
    max_latent_bits_per_pixel: int | None = None
    has_model: bool = True
    has_residual: bool = True

    @property
    def is_lossy(self) -> bool:
        """Whether colours may come back changed."""
        return self.has_model and not self.has_residual

    @property
    def fingerprint_bytes(self) -> int:
        """How many bytes of a header name the model."""
        return FINGERPRINT_BYTES if self.has_model else 0


# What the coders' constants lose and how long they take: benchmarks/posteriors.py. Tiles bound the
# memory of the float64 pass and keep the grid of likelihood parameters safe (irec.bitstream.grid).
LOSSLESS = Profile(
    number=0,
    name="lossless",
    coder=CoderSettings(
        candidates_per_step=128,
        steps_per_block=3,
        steps_per_rho_index=1,
        blocks_per_stream=64,
        min_dims_per_block=16,
        order="block",
        doubles_blocks=False,
    ),
    max_tile_side=512,
)

# The arithmetic of lattice models is exact, so memory alone bounds their tiles.
LATTICE = Profile(
    number=2,
    name="lattice",
    coder=LOSSLESS.coder,
    max_tile_side=1024,
)

# Steps in order let the beginning of a file decode. A search in this order decides of all blocks
# together, so these should hold as much as each other: they are wide.
LOSSY = Profile(
    number=1,
    name="lossy",
    coder=CoderSettings(
        candidates_per_step=256,
        steps_per_block=8,
        steps_per_rho_index=2,
        blocks_per_stream=64,
        min_dims_per_block=96,
        order="step",
        doubles_blocks=False,
    ),
    max_tile_side=None,
    max_quality_index=200,
    max_latent_bits_per_pixel=32,
    has_residual=False,
)

# No model and no coder: the image as another format has it, where that takes fewer bytes.
STORED = Profile(
    number=3,
    name="stored",
    coder=LOSSLESS.coder,
    max_tile_side=None,
    has_model=False,
    has_residual=False,
)

PROFILES = {profile.number: profile for profile in (LOSSLESS, LOSSY, LATTICE, STORED)}
"""The profiles that this irec reads, by number."""
