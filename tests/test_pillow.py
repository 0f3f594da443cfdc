"""The plugin for Pillow."""

import io

import numpy as np
import pytest
from PIL import Image

import irec.pillow
from irec.codec import api, is_stored, read_metadata
from irec.images import read_image
from tests.pictures import noise, picture


def saved(pixels, **options):
    buffer = io.BytesIO()
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    image.save(buffer, "IREC", effort=1, **options)
    return buffer


@pytest.mark.parametrize("n_channels", [1, 2, 3, 4])
def test_images_there_and_back(n_channels, tmp_path):
    pixels = noise(9, 14, n_channels)
    path = tmp_path / "image.irec"
    path.write_bytes(saved(pixels).getvalue())
    with Image.open(path) as image:
        assert (image.format, image.size) == ("IREC", (14, 9))
        np.testing.assert_array_equal(np.asarray(image).reshape(pixels.shape), pixels)
        image.save(tmp_path / "image.png")
    np.testing.assert_array_equal(read_image(tmp_path / "image.png"), pixels)


def test_opening_does_not_decode(monkeypatch):
    buffer = saved(picture(9, 14, 3))
    monkeypatch.setattr(api, "codec_for", lambda *given, **options: pytest.fail("decoded"))
    with Image.open(buffer) as image:
        assert (image.mode, image.size) == ("RGB", (14, 9))


def test_quality_asks_for_loss(tiny_lossy_checkpoint):
    pixels = picture(64, 64, 3)
    buffer = saved(pixels, quality=50, checkpoint=str(tiny_lossy_checkpoint))
    assert not is_stored(buffer.getvalue())
    assert is_stored(saved(pixels * 0, lossless=True, quality=50).getvalue())


def test_metadata_are_kept_and_can_be_replaced():
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    first = saved(noise(8, 8, 3), icc_profile=b"profile", exif=exif)
    with Image.open(first) as image:
        assert image.info["icc_profile"] == b"profile"
        assert image.getexif()[0x010F] == "Maker"
        second = io.BytesIO()
        image.save(second, "IREC", effort=1, icc_profile=None)
    assert list(read_metadata(second.getvalue()).parts()) == ["exif"]


def test_damage_is_what_pillow_says_of_damage():
    data = bytearray(saved(noise(8, 8, 3)).getvalue())
    data[-1] ^= 1
    with Image.open(io.BytesIO(data)) as image, pytest.raises(OSError, match="checksum"):
        image.load()
    with pytest.raises(Image.UnidentifiedImageError):
        Image.open(io.BytesIO(b"iR\xff"))
    assert irec.pillow.FORMAT in Image.SAVE
