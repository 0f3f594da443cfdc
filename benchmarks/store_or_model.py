"""From how few stored bits on no model need be tried: python benchmarks/store_or_model.py.

`compress` keeps an image without a model where WebP, PNG or its bare values take fewer bytes. The
model is dear to run, and not even tried where they take less than `_OUT_OF_REACH_BPD` bits per
dimension (irec/codec/api.py). Here both code pictures from flat to photographic: drawings, and
parts of the bundled photographs blurred, enlarged, reduced to few colours, and framed. The last
line says what the constant claims: the fewest stored bits at which the model was the better.
"""

import argparse
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from irec.codec.api import _OUT_OF_REACH_BPD, load_codec
from irec.codec.stored import StoredCodec
from irec.defaults import SAMPLES

_SIDE = 128


def main() -> None:
    """Print both files' bits for each picture, those of fewest stored bits first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", default=None)
    codec = load_codec(parser.parse_args().checkpoint, verify=False)
    rows = []
    for name, picture in pictures():
        pixels = np.asarray(picture)
        stored, modelled = (one.encode(pixels) for one in (StoredCodec(verify=False), codec))
        rows.append((stored.file_bits / pixels.size, modelled.file_bits / pixels.size, name))
    print("| picture | stored, bpd | model, bpd |\n|---|---|---|")
    for stored_bpd, model_bpd, name in sorted(rows):
        print(f"| {name} | {stored_bpd:.3f} | {model_bpd:.3f} |")
    best = min(stored_bpd for stored_bpd, model_bpd, _ in rows if model_bpd < stored_bpd)
    print(f"the model is better from {best:.3f} bpd on; not tried below {_OUT_OF_REACH_BPD}")


def pictures() -> Iterator[tuple[str, Image.Image]]:
    """Yield names and RGB pictures of 128x128 pixels."""
    for n_shapes in (0, 1, 4, 16, 64):
        yield f"{n_shapes} shapes", _shapes(n_shapes)
    ramp = np.arange(_SIDE)
    for factor in (0.25, 1.0):
        rows = (factor * np.add.outer(ramp, ramp)).astype(np.uint8)
        yield f"gradient of {factor:g}", Image.fromarray(rows).convert("RGB")
    for path in sorted(SAMPLES.glob("*.png")):
        photograph = Image.open(path).convert("RGB").crop((100, 100, 100 + _SIDE, 100 + _SIDE))
        yield path.stem, photograph
        for radius in (2, 8, 32):
            blurred = photograph.filter(ImageFilter.GaussianBlur(radius))
            yield f"{path.stem} blurred by {radius}", blurred
        for factor in (4, 16):
            part = photograph.crop((0, 0, _SIDE // factor, _SIDE // factor))
            for kind in ("NEAREST", "BILINEAR", "BICUBIC"):
                enlarged = part.resize((_SIDE, _SIDE), Image.Resampling[kind])
                yield f"{path.stem} enlarged {factor} times, {kind.lower()}", enlarged
        for n_colours in (2, 8, 32):
            reduced = photograph.quantize(n_colours, dither=Image.Dither.NONE).convert("RGB")
            yield f"{path.stem} in {n_colours} colours", reduced
        for side in (16, 32):
            framed = Image.new("RGB", (_SIDE, _SIDE), "white")
            framed.paste(photograph.crop((0, 0, side, side)), (20, 20))
            yield f"{path.stem}, {side}x{side} of it on white", framed


def _shapes(n_shapes: int) -> Image.Image:
    rng = np.random.default_rng(0)
    image = Image.new("RGB", (_SIDE, _SIDE), (200, 220, 240))
    draw = ImageDraw.Draw(image)
    for _ in range(n_shapes):
        left, top, width, height = rng.integers(0, _SIDE // 2, 4).tolist()
        draw.ellipse((left, top, left + width, top + height), tuple(rng.integers(0, 256, 3)))
    return image


if __name__ == "__main__":
    main()
