"""Metadata, and files without a model, from the command line."""

import json

import numpy as np
import pytest
from PIL import Image
from PIL.ImageCms import ImageCmsProfile, createProfile

from irec.codec import is_stored, read_metadata
from irec.images import read_image, read_picture
from tests.commands.command_line import irec
from tests.pictures import noise

XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'></x:xmpmeta>"
PROFILE = ImageCmsProfile(createProfile("sRGB")).tobytes()


def run(*arguments):
    result = irec(*arguments)
    assert result.exit_code == 0, result.stderr
    return result


@pytest.fixture
def photo(tmp_path):
    """A JPEG of 40x30 pixels that lies on its side, with profile, EXIF data and XMP."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Maker"
    path = tmp_path / "photo.jpg"
    Image.fromarray(noise(30, 40, 3)).save(path, exif=exif, icc_profile=PROFILE, xmp=XMP)
    return path


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif", ".jpg"])
def test_metadata_come_back_but_for_the_orientation(photo, tmp_path, suffix):
    run("compress", photo, "--effort", "1")
    out = tmp_path / f"back{suffix}"
    result = run("decompress", tmp_path / "photo.irec", "-o", out)
    if suffix == ".jpg":
        assert ".jpg files change the pixels a little" in result.stderr
    else:
        np.testing.assert_array_equal(read_image(out), read_image(photo))
    assert read_picture(out).metadata == read_picture(photo).metadata
    with Image.open(out) as image:
        assert image.size == (30, 40)
        assert image.info["icc_profile"] == PROFILE
        assert image.getexif()[0x010F] == "Maker"


def test_what_is_kept_can_be_chosen_at_both_ends(photo, tmp_path):
    target = tmp_path / "photo.irec"
    run("compress", photo, "--effort", "1", "--metadata", "icc")
    assert list(read_metadata(target.read_bytes()).parts()) == ["icc"]
    run("decompress", target, "-o", tmp_path / "bare.png", "--metadata", "none")
    assert not read_picture(tmp_path / "bare.png").metadata
    run("compress", photo, "--effort", "1", "--metadata", "none", "--force")
    assert not read_metadata(target.read_bytes())


def test_a_format_without_place_for_metadata_says_so(photo, tmp_path):
    run("compress", photo, "--effort", "1")
    result = run("decompress", tmp_path / "photo.irec", "-o", tmp_path / "photo.ppm")
    assert ".ppm files hold no metadata: icc, exif, xmp left out" in result.stderr


def test_inspect_lists_metadata_and_tells_what_needs_no_model(photo, tmp_path):
    flat = tmp_path / "flat.png"
    Image.new("RGB", (50, 40), (1, 2, 3)).save(flat, icc_profile=PROFILE)
    run("compress", flat)
    target = tmp_path / "flat.irec"
    assert is_stored(target.read_bytes())
    text = run("inspect", target).stdout
    assert f"icc {len(PROFILE):,} bytes" in text
    assert "none: lossless WebP" in text
    facts = json.loads(run("inspect", target, "--json").stdout)
    assert facts["profile"] == "stored"
    assert facts["metadata_bytes"] == {"icc": len(PROFILE)}
    run("compress", flat, "--skip-existing")
    run("decompress", target, "-o", tmp_path / "back.png")
    np.testing.assert_array_equal(read_image(tmp_path / "back.png"), read_image(flat))


def test_a_grey_picture_in_colours_is_named(tmp_path):
    path = tmp_path / "grey.png"
    Image.fromarray(np.repeat(noise(9, 9, 1), 3, axis=2)).save(path)
    run("compress", path, "--effort", "1")
    assert "9x9 RGB, but grey" in run("inspect", tmp_path / "grey.irec").stdout
