import contextlib
import io
import math
import struct
import zlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from irec.errors import DataError, IrecError, UnsupportedImageError
from irec.images import as_array, encode_image, from_any, image_paths, psnr_db, read_image
from tests.pictures import noise


def squeezed(pixels):
    return pixels[:, :, 0] if pixels.shape[2] == 1 else pixels


def png_bytes(bit_depth, colour_type, rows, width):
    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, len(rows), bit_depth, colour_type, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("suffix", [".png", ".webp", ".ppm", ".pgm"])
def test_written_files_give_back_the_pixels_or_are_refused(tmp_path, channels, suffix):
    pixels = noise(9, 13, channels)
    kept = {".png": (1, 2, 3, 4), ".webp": (3, 4), ".ppm": (3,), ".pgm": (1,)}[suffix]
    if channels not in kept:
        with pytest.raises(UnsupportedImageError, match=r"choose \.png"):
            encode_image(pixels, suffix)
        return
    path = tmp_path / f"image{suffix}"
    path.write_bytes(encode_image(pixels, suffix))
    np.testing.assert_array_equal(read_image(path), pixels)


def test_webp_keeps_colour_below_transparency(tmp_path):
    pixels = noise(16, 16, 4)
    pixels[:, :, 3] = 0
    (tmp_path / "a.webp").write_bytes(encode_image(pixels, ".webp"))
    np.testing.assert_array_equal(read_image(tmp_path / "a.webp"), pixels)


@pytest.mark.parametrize("suffix", [".jp2", ".avif", "", ".irec"])
def test_unknown_suffixes_are_refused(suffix):
    with pytest.raises(UnsupportedImageError, match="images are written as one of"):
        encode_image(noise(4, 4, 3), suffix)


def test_webp_has_a_largest_side():
    with pytest.raises(UnsupportedImageError, match=r"20000x1 .* choose \.png"):
        encode_image(noise(1, 20000, 3), ".webp")


@pytest.mark.parametrize(
    ("bit_depth", "colour_type", "bytes_per_pixel"),
    [(16, 2, 6), (16, 4, 4), (16, 6, 8), (16, 0, 2)],
)
def test_16_bit_png_is_refused(tmp_path, bit_depth, colour_type, bytes_per_pixel):
    path = tmp_path / "deep.png"
    path.write_bytes(png_bytes(bit_depth, colour_type, [bytes(2 * bytes_per_pixel)] * 3, width=2))
    with pytest.raises(UnsupportedImageError, match=r"deep\.png.*8.bit"):
        read_image(path)


@pytest.mark.parametrize("maximum", [256, 1000, 65535])
def test_deep_ppm_is_refused(tmp_path, maximum):
    path = tmp_path / "deep.ppm"
    path.write_bytes(f"P6\n2 1\n{maximum}\n".encode() + bytes(12))
    with pytest.raises(UnsupportedImageError, match="more than 8 bits"):
        read_image(path)


@pytest.mark.parametrize("suffix", [".bmp", ".tif", ".png", ".ppm"])
def test_wide_8_bit_images_are_not_taken_for_deep(tmp_path, suffix):
    pixels = noise(3, 1000, 3)
    Image.fromarray(pixels).save(tmp_path / f"wide{suffix}")
    np.testing.assert_array_equal(read_image(tmp_path / f"wide{suffix}"), pixels)


def test_palette_bilevel_and_transparency(tmp_path):
    colours = noise(4, 4, 3) // 128 * 255
    palette = Image.fromarray(colours).convert("P", palette=Image.Palette.ADAPTIVE)
    palette.save(tmp_path / "palette.png")
    np.testing.assert_array_equal(
        read_image(tmp_path / "palette.png"), np.array(palette.convert("RGB"))
    )
    Image.fromarray(colours[:, :, 0]).convert("1").save(tmp_path / "bilevel.png")
    np.testing.assert_array_equal(read_image(tmp_path / "bilevel.png"), colours[:, :, :1])
    Image.fromarray(colours).save(tmp_path / "key.png", transparency=tuple(colours[0, 0].tolist()))
    with_alpha = read_image(tmp_path / "key.png")
    np.testing.assert_array_equal(with_alpha[:, :, :3], colours)
    assert with_alpha[0, 0, 3] == 0


def test_cmyk_is_refused(tmp_path):
    Image.new("CMYK", (8, 8)).save(tmp_path / "print.jpg")
    with pytest.raises(UnsupportedImageError, match=r"print\.jpg: mode CMYK; convert"):
        read_image(tmp_path / "print.jpg")


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif", ".gif"])
def test_several_frames_are_refused(tmp_path, suffix):
    frames = [Image.fromarray(noise(8, 8, 3, seed=seed)) for seed in range(3)]
    frames[0].save(tmp_path / f"film{suffix}", save_all=True, append_images=frames[1:])
    with pytest.raises(UnsupportedImageError, match="several frames"):
        read_image(tmp_path / f"film{suffix}")


def test_multi_picture_jpeg_gives_its_main_picture(tmp_path):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "camera.jpg", "MPO", save_all=True, append_images=frames[1:])
    assert read_image(tmp_path / "camera.jpg")[0, 0, 0] > 200


def test_a_bomb_is_refused_and_a_large_photograph_is_not_warned_about(
    tmp_path, monkeypatch, recwarn
):
    Image.fromarray(noise(10, 15, 3)).save(tmp_path / "large.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert read_image(tmp_path / "large.png").shape == (10, 15, 3)
    assert not recwarn.list
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    with pytest.raises(UnsupportedImageError, match="too large"):
        read_image(tmp_path / "large.png")


def test_wrong_files_are_named(tmp_path):
    with pytest.raises(DataError, match=r"absent\.png: no such file"):
        read_image(tmp_path / "absent.png")
    with pytest.raises(DataError, match="a folder"):
        read_image(tmp_path)
    (tmp_path / "text.png").write_text("hello")
    with pytest.raises(DataError, match=r"text\.png: not an image that irec reads"):
        read_image(tmp_path / "text.png")
    (tmp_path / "empty.png").touch()
    with pytest.raises(DataError, match=r"empty\.png"):
        read_image(tmp_path / "empty.png")


@pytest.mark.parametrize("suffix", [".png", ".webp", ".bmp", ".tif", ".jpg", ".ppm"])
def test_truncated_files_are_refused(tmp_path, suffix):
    path = tmp_path / f"cut{suffix}"
    Image.fromarray(noise(64, 64, 3)).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=r"cut\."):
        read_image(path)


@pytest.mark.parametrize("file_format", ["PNG", "WEBP", "BMP", "TIFF", "JPEG", "PPM", "GIF"])
@settings(max_examples=40)
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=8))
def test_damage_ends_in_an_image_or_a_named_error(tmp_path_factory, file_format, changes):
    buffer = io.BytesIO()
    Image.fromarray(noise(12, 12, 3)).save(buffer, file_format)
    data = bytearray(buffer.getvalue())
    for where, value in changes:
        data[int(where * (len(data) - 1))] = value
    path = tmp_path_factory.mktemp("damage") / "damaged"
    path.write_bytes(data)
    with contextlib.suppress(IrecError):
        pixels = read_image(path)
        assert pixels.dtype == np.uint8
        assert pixels.ndim == 3


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_every_form_of_an_image_gives_the_same_array(channels):
    pixels = noise(5, 7, channels)
    forms = [pixels, torch.from_numpy(pixels.transpose(2, 0, 1).copy()), np.asfortranarray(pixels)]
    forms.append(Image.fromarray(squeezed(pixels)))
    if channels == 1:
        forms += [pixels[:, :, 0], torch.from_numpy(pixels[:, :, 0])]
    for form in forms:
        taken = from_any(form)
        np.testing.assert_array_equal(taken, pixels)
        assert taken.flags.c_contiguous


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 4, 3), np.float32), "float32, but images are uint8"),
        (np.zeros((4, 4), np.uint16), "uint16"),
        (np.zeros((4, 4), bool), "bool"),
        (np.zeros((3, 4, 6), np.uint8), r"shape \[3, 4, 6\]"),
        (np.zeros((1, 4, 4, 3), np.uint8), "shape"),
        (np.zeros(4, np.uint8), "shape"),
        (np.zeros((0, 4, 3), np.uint8), "no pixels"),
        (torch.zeros(3, 4, 4), r"torch\.float32"),
        (torch.zeros(5, 4, 4, dtype=torch.uint8), "shape"),
        (Image.new("F", (4, 4)), "mode F"),
        (Image.new("I;16", (4, 4)), "more than 8 bits"),
        (Image.new("CMYK", (4, 4)), "mode CMYK"),
        ([[0, 1]], "list"),
    ],
)
def test_what_is_no_image_is_refused(image, message):
    with pytest.raises(UnsupportedImageError, match=message):
        from_any(image)


def test_deep_images_that_are_open_but_not_loaded_are_refused():
    data = png_bytes(16, 2, [bytes(12)], width=2)
    with (
        Image.open(io.BytesIO(data)) as image,
        pytest.raises(UnsupportedImageError, match="more than 8 bits"),
    ):
        as_array(image, "deep")


def test_folders_are_searched_for_visible_image_files(tmp_path):
    for name in ("b.PNG", "a/c.jpg", "a/notes.txt", ".hidden/d.png", ".e.png"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (tmp_path / "folder.png").mkdir()
    assert [str(path.relative_to(tmp_path)) for path in image_paths(tmp_path)] == [
        "a/c.jpg",
        "b.PNG",
    ]
    with pytest.raises(DataError, match="no such folder"):
        image_paths(tmp_path / "absent")
    with pytest.raises(DataError, match=r"no .*\.png.* file in it"):
        image_paths(tmp_path / "folder.png")


@pytest.mark.parametrize("channels", [1, 3])
def test_psnr_of_known_errors(channels):
    image = np.full((5, 7, channels), 100, np.uint8)
    assert psnr_db(image, image) == math.inf
    assert psnr_db(image, image + 1) == pytest.approx(20 * math.log10(255))
    # uint8 must not wrap around: 100 - 110 is -10.
    assert psnr_db(image, image + 10) == pytest.approx(20 * math.log10(25.5))
    one_wrong = image.copy()
    one_wrong[0, 0, 0] += 50
    assert psnr_db(one_wrong, image) == pytest.approx(10 * math.log10(255**2 / (2500 / image.size)))
