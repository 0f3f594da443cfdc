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


def lossy_files() -> dict[str, bytes]:
    """Lossy files of every colour kind, at rates from end to end, and one that is cut off."""
    pinned = images()
    astronaut = read_image(SAMPLES / "astronaut.png")
    chosen = {
        "rgb_1x1_q100": (pinned["rgb_1x1"], 100.0),
        "rgb_65x127_q50": (astronaut[100:165, 180:307], 50.0),
        "grey_40x24_q75": (pinned["grey_40x24"], 75.0),
        "rgba_31x17_q12.5": (pinned["rgba_31x17"], 12.5),
        "grey_alpha_31x17_q0": (pinned["grey_alpha_31x17"], 0.0),
    }
    files = {
        name: irec.compress(pixels, lossy=True, quality=quality)
        for name, (pixels, quality) in chosen.items()
    }
    whole = irec.compress(astronaut[:128, 128:320], lossy=True, quality=90.0)
    return {**files, "rgb_128x192_q90_truncated": whole[: len(whole) // 2]}


def main() -> None:
    """Write a .png and an .irec file for each image; beside lossy ones lies what they decode to."""
    for name, pixels in images().items():
        (FOLDER / f"{name}.png").write_bytes(encode_image(pixels, ".png"))
        (FOLDER / f"{name}.irec").write_bytes(irec.compress(pixels))
    for name, data in lossy_files().items():
        decoded = irec.decompress(data, allow_truncated=True)
        (FOLDER / "lossy" / f"{name}.png").write_bytes(encode_image(decoded, ".png"))
        (FOLDER / "lossy" / f"{name}.irec").write_bytes(data)


if __name__ == "__main__":
    main()
