"""Codecs to compare with: those of Pillow and its plugins, and programs that are installed."""

import importlib
import io
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image, features

from irec.errors import IrecError
from irec.images import as_pillow

Setting = float | None

# By the option of Pillow that takes them; compression ratios are of 24 bits per pixel, so 0.1 to
# 2.4 bits.
_SETTINGS: dict[str | None, tuple[Setting, ...]] = {
    None: (None,),
    "quality": (5.0, 10.0, 20.0, 35.0, 50.0, 65.0, 80.0, 90.0, 95.0),
    "quality_layers": (240.0, 160.0, 110.0, 70.0, 45.0, 30.0, 20.0, 14.0, 10.0),
}
_BPG_SETTINGS = (51.0, 47.0, 43.0, 39.0, 35.0, 31.0, 27.0, 23.0)


@dataclass(frozen=True)
class ClassicalCodec:
    """A codec that is not ours.

    Attributes:
        label: What tables call it.
        encode: Pixels (RGB or grey, uint8 [h, w, c]) and setting to a file's bytes.
        decode: And back.
        settings: That make a rate-distortion curve; None alone for lossless codecs.
        missing: Why it cannot be used here; None where it can.
    """

    label: str
    encode: Callable[[np.ndarray, Setting], bytes]
    decode: Callable[[bytes], np.ndarray]
    settings: tuple[Setting, ...]
    missing: str | None

    @property
    def is_lossless(self) -> bool:
        """Whether every pixel comes back."""
        return self.settings == (None,)


def classical_codecs() -> dict[str, ClassicalCodec]:
    """All that irec knows, by the name that the command line takes; some may be missing."""
    jxl = _missing_jpegxl()
    avif = None if features.check("avif") else "this build of Pillow has no AVIF"
    bpgenc = "bpgenc -q {setting:g} -f 444 -o {target} {source}"
    return {
        "png": _of_pillow("PNG", "PNG", optimize=True),
        "webp": _of_pillow("WebP", "WEBP", lossless=True, quality=100, method=6),
        "jpeg2000": _of_pillow("JPEG 2000", "JPEG2000", mct=1),
        "jpegxl": _of_pillow("JPEG XL (e7)", "JXL", missing=jxl, lossless=True, effort=7),
        "flif": _of_programs(
            "FLIF", ".flif", "flif -e -E100 {source} {target}", "flif -d {source} {target}"
        ),
        "jpeg-lossy": _of_pillow("JPEG", "JPEG", "quality", optimize=True, subsampling=0),
        "webp-lossy": _of_pillow("WebP", "WEBP", "quality", method=6),
        "jpeg2000-lossy": _of_pillow(
            "JPEG 2000", "JPEG2000", "quality_layers", irreversible=True, mct=1
        ),
        "avif-lossy": _of_pillow("AVIF", "AVIF", "quality", avif, speed=4),
        "jpegxl-lossy": _of_pillow("JPEG XL", "JXL", "quality", jxl, effort=7),
        "bpg-lossy": _of_programs(
            "BPG 4:4:4", ".bpg", bpgenc, "bpgdec -o {target} {source}", _BPG_SETTINGS
        ),
    }


def _missing_jpegxl() -> str | None:
    try:
        # Tells Pillow of the format.
        importlib.import_module("pillow_jxl")
    except ImportError:
        return "JPEG XL needs a plugin of Pillow: pip install 'irec[jpegxl]'"
    return None


def _of_pillow(
    label: str,
    file_format: str,
    knob: str | None = None,
    missing: str | None = None,
    **options: Any,
) -> ClassicalCodec:
    """Return a codec of Pillow: its option `knob` takes the setting, the others are fixed."""

    def encode(pixels: np.ndarray, setting: Setting) -> bytes:
        if knob is None or setting is None:
            return _save(pixels, file_format, **options)
        value = [setting] if knob == "quality_layers" else round(setting)
        return _save(pixels, file_format, **{**options, knob: value})

    return ClassicalCodec(label, encode, _open, _SETTINGS[knob], missing)


def _save(pixels: np.ndarray, file_format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    as_pillow(pixels).save(buffer, file_format, **options)
    return buffer.getvalue()


def _open(data: bytes) -> UInt8[np.ndarray, "h w 3"]:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def _of_programs(
    label: str, suffix: str, encoder: str, decoder: str, settings: tuple[Setting, ...] = (None,)
) -> ClassicalCodec:
    """Return a codec of two command lines, between PNG files and files of its suffix."""

    def encode(pixels: np.ndarray, setting: Setting) -> bytes:
        return _run(encoder, _save(pixels, "PNG"), ".png", suffix, setting)

    def decode(data: bytes) -> np.ndarray:
        return _open(_run(decoder, data, suffix, ".png"))

    program = encoder.split()[0]
    missing = None if shutil.which(program) else f"the program {program} is not installed"
    return ClassicalCodec(label, encode, decode, settings, missing)


def _run(
    command: str, data: bytes, suffix_in: str, suffix_out: str, setting: Setting = None
) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / f"in{suffix_in}", Path(folder) / f"out{suffix_out}"
        source.write_bytes(data)
        values = {"source": source, "target": target, "setting": setting}
        words = [word.format(**values) for word in command.split()]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode or not target.is_file():
            raise IrecError(f"{words[0]} failed: {done.stderr.strip() or done.returncode}")
        return target.read_bytes()


# The format's limit on height and width.
WEBP_MAX_SIDE = 16383


def png_bytes(pixels: UInt8[np.ndarray, "h w c"]) -> bytes:
    """Return a PNG file of an image of 1 to 4 channels."""
    return _save(pixels, "PNG", optimize=True)


def webp_bytes(pixels: UInt8[np.ndarray, "h w c"]) -> bytes | None:
    """Return a lossless WebP file of an image of 1 to 4 channels; None where it is too large."""
    if max(pixels.shape[:2]) > WEBP_MAX_SIDE:
        return None
    if pixels.shape[2] <= 2:
        # WebP knows no greyscale; its prediction of colours from one another makes repeated grey
        # values nearly free.
        pixels = pixels[:, :, [0, 0, 0, 1][: pixels.shape[2] + 2]]
    return _save(pixels, "WEBP", lossless=True, quality=100, method=6, exact=True)
