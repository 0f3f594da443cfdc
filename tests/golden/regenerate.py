"""Writes the pinned files anew: python -m tests.golden.regenerate.

Only for a change of the format, of the coder or of a model's network: while the tests can decode
the old files, they are to be left as they are.
"""

from pathlib import Path

import numpy as np
from PIL import Image

import irec
from irec.codec import codec_for
from irec.defaults import SAMPLES
from irec.images import encode_image, read_image
from irec.metadata import Metadata
from tests.checkpoints import (
    write_checkpoint,
    write_lattice_checkpoint,
    write_lossy_checkpoint,
    write_transform_checkpoint,
)
from tests.golden import explain

FOLDER = Path(__file__).parent
# Tiny models of their own: whatever is shipped may be replaced, and these files still decode.
LOSSLESS_MODEL, LOSSY_MODEL = FOLDER / "models" / "lossless", FOLDER / "models" / "lossy"
LATTICE_MODEL = FOLDER / "models" / "lattice"
TRANSFORM_MODEL = FOLDER / "models" / "transform"
METADATA = Metadata(icc=b"a profile", exif=b"MM\0*\0\0\0\x08\0\0", xmp=b"<x:xmpmeta/>")


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
        "rgb_72x64": chelsea[100:172, 100:164],
        "grey_40x24": grey[200:240, 100:124],
        "rgba_31x17": np.concatenate([chelsea[100:131, 100:117], alpha], axis=2),
        "grey_alpha_31x17": np.concatenate([grey[100:131, 100:117], alpha], axis=2),
    }


def drawings() -> dict[str, np.ndarray]:
    """What is stored without a model: as WebP, as PNG, as it is."""
    rows, columns = np.mgrid[0:48, 0:40]
    disc = ((rows - 20) ** 2 + (columns - 17) ** 2 < 200)[:, :, None]
    return {
        "stored_webp_48x40": np.where(disc, [250, 120, 30], [10, 20, 90]).astype(np.uint8),
        "stored_png_1x17000": (np.arange(17_000) // 200).astype(np.uint8)[None, :, None],
        "stored_raw_1x2": np.array([[[1, 2, 3], [250, 0, 9]]], np.uint8),
    }


def lossy_files(model: Path) -> dict[str, bytes]:
    """Lossy files of every colour kind, at qualities from end to end, and one that is cut off."""
    pinned = images()
    astronaut = read_image(SAMPLES / "astronaut.png")
    chosen = {
        "rgb_1x1_q100": (pinned["rgb_1x1"], 100.0),
        "rgb_65x127_q50": (astronaut[100:165, 180:307], 50.0),
        "grey_40x24_q75": (pinned["grey_40x24"], 75.0),
        "rgba_31x17_q12.5": (pinned["rgba_31x17"], 12.5),
        "grey_alpha_31x17_q0": (pinned["grey_alpha_31x17"], 0.0),
        "rgb_64x128_q90": (astronaut[:64, 192:320], 90.0),
    }
    files = {
        name: irec.compress(pixels, lossy=True, quality=quality, checkpoint=str(model))
        for name, (pixels, quality) in chosen.items()
    }
    whole = files.pop("rgb_64x128_q90")
    return {**files, "rgb_64x128_q90_truncated": whole[: len(whole) // 2]}


def write_lossy_files(folder: Path, model: Path) -> None:
    """Write files made with a model, and what they decode to."""
    folder.mkdir(exist_ok=True)
    for name, data in lossy_files(model).items():
        decoded = irec.decompress(data, allow_truncated=True, checkpoint=str(model))
        (folder / f"{name}.png").write_bytes(encode_image(decoded, ".png"))
        (folder / f"{name}.irec").write_bytes(data)


def main() -> None:
    """Write models, and a .png and an .irec file for each image: what lossy ones decode to."""
    for old in [*FOLDER.glob("*.irec"), *FOLDER.glob("*/*.irec")]:
        old.with_suffix(".png").unlink()
        old.unlink()
    write_checkpoint(LOSSLESS_MODEL)
    write_lossy_checkpoint(LOSSY_MODEL)
    write_lattice_checkpoint(LATTICE_MODEL)
    write_transform_checkpoint(TRANSFORM_MODEL)
    for folder, model in ((FOLDER, LOSSLESS_MODEL), (FOLDER / "lattice", LATTICE_MODEL)):
        folder.mkdir(exist_ok=True)
        for name, pixels in images().items():
            (folder / f"{name}.png").write_bytes(encode_image(pixels, ".png"))
            data = irec.compress(pixels, checkpoint=str(model), model_only=True)
            (folder / f"{name}.irec").write_bytes(data)
    for name, pixels in drawings().items():
        (FOLDER / f"{name}.png").write_bytes(encode_image(pixels, ".png"))
        data = irec.compress(pixels, checkpoint=str(LOSSLESS_MODEL), metadata=METADATA)
        (FOLDER / f"{name}.irec").write_bytes(data)
    write_lossy_files(FOLDER / "lossy", LOSSY_MODEL)
    write_lossy_files(FOLDER / "transform", TRANSFORM_MODEL)

    explain.PAGE.write_text(page())


def page() -> str:
    """docs/format.md with its generated parts."""
    data = (FOLDER / "rgb_1x1.irec").read_bytes()
    stream = codec_for(data, checkpoint=str(LOSSLESS_MODEL)).unpack(data)
    example, profiles = explain.example(data, stream), explain.profiles()
    return explain.with_parts(explain.PAGE.read_text(), example=example, profiles=profiles)


if __name__ == "__main__":
    main()
