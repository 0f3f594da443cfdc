"""Codecs to compare with: those of Pillow and its plugins, and programs that are installed."""

import importlib
import io
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image, features

from irec.errors import IrecError
from irec.images import as_pillow

Setting = float | None


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
    settings: tuple[Setting, ...] = (None,)
    missing: Callable[[], str | None] = lambda: None

    @property
    def is_lossless(self) -> bool:
        """Whether every pixel comes back."""
        return self.settings == (None,)


def classical_codecs() -> dict[str, ClassicalCodec]:
    """All that irec knows, by the name that the command line takes; some may be missing."""
    jxl = _plugin("pillow_jxl", "JPEG XL", "pip install 'irec[jpegxl]'")
    avif = _feature("avif", "AVIF")
    qualities = (5.0, 10.0, 20.0, 35.0, 50.0, 65.0, 80.0, 90.0, 95.0)
    # Compression ratios of 24 bits per pixel: 0.1 to 2.4 bits.
    ratios = (240.0, 160.0, 110.0, 70.0, 45.0, 30.0, 20.0, 14.0, 10.0)
    return {
        "png": _lossless("PNG", "PNG", optimize=True),
        "webp": _lossless("WebP", "WEBP", lossless=True, quality=100, method=6),
        "jpeg2000": _lossless("JPEG 2000", "JPEG2000", mct=1),
        "jpegxl": _lossless("JPEG XL (e7)", "JXL", jxl, lossless=True, effort=7),
        "flif": _flif(),
        "jpeg-lossy": _lossy("JPEG", "JPEG", "quality", qualities, optimize=True, subsampling=0),
        "webp-lossy": _lossy("WebP", "WEBP", "quality", qualities, method=6),
        "jpeg2000-lossy": _lossy(
            "JPEG 2000", "JPEG2000", "quality_layers", ratios, irreversible=True, mct=1
        ),
        "avif-lossy": _lossy("AVIF", "AVIF", "quality", qualities, avif, speed=4),
        "jpegxl-lossy": _lossy("JPEG XL", "JXL", "quality", qualities, jxl, effort=7),
        "bpg-lossy": _bpg(),
    }


def _lossless(
    label: str, file_format: str, missing: Callable[[], str | None] = lambda: None, **options: Any
) -> ClassicalCodec:
    return ClassicalCodec(
        label,
        lambda pixels, _: _save(pixels, file_format, options),
        _open,
        missing=missing,
    )


def _lossy(
    label: str,
    file_format: str,
    knob: str,
    settings: Sequence[float],
    missing: Callable[[], str | None] = lambda: None,
    **options: Any,
) -> ClassicalCodec:
    def encode(pixels: np.ndarray, setting: Setting) -> bytes:
        assert setting is not None
        value: Any = [setting] if knob == "quality_layers" else round(setting)
        return _save(pixels, file_format, {**options, knob: value})

    return ClassicalCodec(label, encode, _open, tuple(settings), missing)


def _save(pixels: np.ndarray, file_format: str, options: Mapping[str, Any]) -> bytes:
    if file_format == "JXL":
        importlib.import_module("pillow_jxl")
    buffer = io.BytesIO()
    as_pillow(pixels).save(buffer, file_format, **options)
    return buffer.getvalue()


def _open(data: bytes) -> UInt8[np.ndarray, "h w 3"]:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def _plugin(module: str, name: str, remedy: str) -> Callable[[], str | None]:
    def missing() -> str | None:
        try:
            importlib.import_module(module)
        except ImportError:
            return f"{name} needs a plugin of Pillow: {remedy}"
        return None

    return missing


def _feature(feature: str, name: str) -> Callable[[], str | None]:
    return lambda: None if features.check(feature) else f"this build of Pillow has no {name}"


def _flif() -> ClassicalCodec:
    return ClassicalCodec(
        "FLIF",
        lambda pixels, _: _through(pixels, ".flif", ["flif", "-e", "-E100", "{in}", "{out}"]),
        lambda data: _back(data, ".flif", ["flif", "-d", "{in}", "{out}"]),
        missing=_program("flif"),
    )


def _bpg() -> ClassicalCodec:
    def encode(pixels: np.ndarray, setting: Setting) -> bytes:
        command = ["bpgenc", "-q", f"{setting:g}", "-f", "444", "-o", "{out}", "{in}"]
        return _through(pixels, ".bpg", command)

    settings = (51.0, 47.0, 43.0, 39.0, 35.0, 31.0, 27.0, 23.0)
    command = ["bpgdec", "-o", "{out}", "{in}"]
    return ClassicalCodec(
        "BPG 4:4:4",
        encode,
        lambda data: _back(data, ".bpg", command),
        settings,
        _program("bpgenc"),
    )


def _program(name: str) -> Callable[[], str | None]:
    return lambda: None if shutil.which(name) else f"the program {name} is not installed"


def _through(pixels: np.ndarray, suffix: str, command: Sequence[str]) -> bytes:
    return _run(_save(pixels, "PNG", {}), ".png", suffix, command)


def _back(data: bytes, suffix: str, command: Sequence[str]) -> np.ndarray:
    return _open(_run(data, suffix, ".png", command))


def _run(data: bytes, suffix_in: str, suffix_out: str, command: Sequence[str]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        paths = {
            "{in}": Path(folder) / f"in{suffix_in}",
            "{out}": Path(folder) / f"out{suffix_out}",
        }
        paths["{in}"].write_bytes(data)
        words = [str(paths.get(word, word)) for word in command]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode or not paths["{out}"].is_file():
            raise IrecError(f"{command[0]} failed: {done.stderr.strip() or done.returncode}")
        return paths["{out}"].read_bytes()


# The format's limit on height and width.
WEBP_MAX_SIDE = 16383


def png_bytes(pixels: UInt8[np.ndarray, "h w c"]) -> bytes:
    """Return a PNG file.

    Args:
        pixels: uint8 [h, w, c], c of 1 to 4.
    """
    return _save(pixels, "PNG", {"optimize": True})


def webp_bytes(pixels: UInt8[np.ndarray, "h w c"]) -> bytes | None:
    """Return a lossless WebP file.

    Args:
        pixels: uint8 [h, w, c], c of 1 to 4. WebP knows no greyscale: grey values are repeated,
            which its prediction of colours from one another makes nearly free.

    Returns:
        The file, or None for images of more than 16,383 pixels height or width.
    """
    if max(pixels.shape[:2]) > WEBP_MAX_SIDE:
        return None
    if pixels.shape[2] <= 2:
        pixels = pixels[:, :, [0, 0, 0, 1][: pixels.shape[2] + 2]]
    return _save(pixels, "WEBP", {"lossless": True, "quality": 100, "method": 6, "exact": True})
