import io
import os
import sys

import numpy as np
import pytest
from PIL import Image

from irec.errors import IrecError
from irec.evaluation.codecs import classical_codecs, png_bytes, webp_bytes


def smooth_image(channels):
    rows, columns = np.mgrid[:24, :40]
    planes = [(rows * (3 + c) + columns * 5) % 256 for c in range(channels)]
    return np.stack(planes, axis=2).astype(np.uint8)


def decoded(data):
    with Image.open(io.BytesIO(data)) as image:
        pixels = np.array(image)
    return pixels if pixels.ndim == 3 else pixels[:, :, None]


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_files_decode_to_the_same_pixels(channels):
    pixels = smooth_image(channels)
    np.testing.assert_array_equal(decoded(png_bytes(pixels)), pixels)
    webp = decoded(webp_bytes(pixels))
    if channels <= 2:
        np.testing.assert_array_equal(webp[:, :, :3], pixels[:, :, :1].repeat(3, 2))
    if channels in (2, 4):
        np.testing.assert_array_equal(webp[:, :, 3], pixels[:, :, -1])
    if channels >= 3:
        np.testing.assert_array_equal(webp, pixels)


def test_colour_below_transparency_is_kept():
    pixels = smooth_image(4)
    pixels[:, :, 3] = 0
    np.testing.assert_array_equal(decoded(webp_bytes(pixels)), pixels)


def test_settings_are_strong():
    pixels = smooth_image(3)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    assert len(png_bytes(pixels)) <= len(buffer.getvalue())
    assert len(webp_bytes(pixels)) < pixels.size


def test_images_too_large_for_webp_have_no_file():
    assert webp_bytes(np.zeros((1, 16383, 3), np.uint8)) is not None
    assert webp_bytes(np.zeros((16384, 1, 3), np.uint8)) is None
    assert png_bytes(np.zeros((16384, 1, 3), np.uint8))


@pytest.mark.skipif(sys.platform == "win32", reason="programs are shell scripts here")
def test_programs_get_files_and_settings(tmp_path, monkeypatch):
    """Stand-ins that copy what they are given, in the places of the real ones' arguments."""
    scripts = {
        "flif": """case "$1" in -e) test "$2" = -E100 && cp "$3" "$4";; -d) cp "$2" "$3";; esac""",
        "bpgenc": """test "$1 $3 $4 $5" = "-q -f 444 -o" && test "$2" != 47 && cp "$7" "$6" ||
            { echo "no quality 47" >&2; exit 1; }""",
        "bpgdec": """test "$1" = -o && cp "$3" "$2" """,
    }
    for name, script in scripts.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    codecs, pixels = classical_codecs(), smooth_image(3)
    for name, setting in (("flif", None), ("bpg-lossy", 51.0)):
        codec = codecs[name]
        assert codec.missing is None
        np.testing.assert_array_equal(codec.decode(codec.encode(pixels, setting)), pixels)
    with pytest.raises(IrecError, match="bpgenc failed: no quality 47"):
        codecs["bpg-lossy"].encode(pixels, 47.0)
