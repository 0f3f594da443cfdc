"""Writes the pinned files anew: python -m tests.golden.regenerate.

Only for a new format version or a new shipped checkpoint: while the tests can decode the old files,
they are to be left as they are.
"""

from pathlib import Path

import numpy as np
from PIL import Image

import irec
from irec.images import encode_image, read_image

FOLDER = Path(__file__).parent
SAMPLES = FOLDER.parent.parent / "irec" / "datamodules" / "samples"


def images() -> dict[str, np.ndarray]:
    """Small cut-outs of the bundled photographs, uint8 [h, w, c], of every colour kind."""
    astronaut, chelsea, coffee = (
        read_image(SAMPLES / f"{name}.png") for name in ("astronaut", "chelsea", "coffee")
    )
    grey = np.asarray(Image.fromarray(coffee).convert("L"))[:, :, None]
    alpha = np.add.outer(np.arange(31), np.arange(17)).astype(np.uint8)[:, :, None] * 5
    return {
        "rgb_32x32": astronaut[100:132, 200:232],
        "rgb_1x1": chelsea[:1, :1],
        "rgb_1x7": chelsea[150:151, 200:207],
        "rgb_33x65": coffee[100:133, 200:265],
        "grey_40x24": grey[200:240, 100:124],
        "rgba_31x17": np.concatenate([chelsea[100:131, 100:117], alpha], axis=2),
        "grey_alpha_31x17": np.concatenate([grey[100:131, 100:117], alpha], axis=2),
    }


def main() -> None:
    """Write a .png and an .irec file for each image."""
    for name, pixels in images().items():
        (FOLDER / f"{name}.png").write_bytes(encode_image(pixels, ".png"))
        (FOLDER / f"{name}.irec").write_bytes(irec.compress(pixels))


if __name__ == "__main__":
    main()
