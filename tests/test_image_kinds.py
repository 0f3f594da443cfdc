"""Files of every kind, written by one independent library and compared with what irec reads."""

import io
import struct
import zlib

import imagecodecs
import numpy as np
import png
import pytest
import tifffile
from PIL import Image

from irec.errors import DataError, UnsupportedImageError
from irec.images import encode_image, from_any, read_image, read_picture
from tests.pictures import noise


def written(tmp_path, name, data):
    path = tmp_path / name
    path.write_bytes(data)
    return path


def pypng_pixels(data):
    """uint8 [h, w, c] as pypng sees a PNG: palettes and transparent colours expanded to alpha."""
    width, height, rows, info = png.Reader(bytes=data).asDirect()
    rows = np.array([list(row) for row in rows]).reshape(height, width, info["planes"])
    largest = (1 << info["bitdepth"]) - 1
    return (rows * (255 // largest)).astype(np.uint8)


@pytest.mark.parametrize("transparent", [None, 0, 1, -1])
@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_grey_png_of_any_depth(tmp_path, depth, transparent):
    largest = (1 << depth) - 1
    if transparent is not None:
        transparent = min(largest, transparent) % (largest + 1)
    rows = (noise(12, 32).astype(int) % (largest + 1)).tolist()
    buffer = io.BytesIO()
    png.Writer(32, 12, greyscale=True, bitdepth=depth, transparent=transparent).write(buffer, rows)
    path = written(tmp_path, "grey.png", buffer.getvalue())
    np.testing.assert_array_equal(read_image(path), pypng_pixels(buffer.getvalue()))
    with Image.open(path) as image:
        np.testing.assert_array_equal(from_any(image), pypng_pixels(buffer.getvalue()))


@pytest.mark.parametrize("transparent", [None, (1, 2, 3)])
@pytest.mark.parametrize("interlace", [False, True])
def test_rgb_png(tmp_path, transparent, interlace):
    pixels = noise(12, 32, 3) % 4
    buffer = io.BytesIO()
    writer = png.Writer(32, 12, greyscale=False, transparent=transparent, interlace=interlace)
    writer.write(buffer, pixels.reshape(12, -1).tolist())
    path = written(tmp_path, "rgb.png", buffer.getvalue())
    np.testing.assert_array_equal(read_image(path), pypng_pixels(buffer.getvalue()))


@pytest.mark.parametrize("has_alpha", [False, True])
@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_palette_png(tmp_path, depth, has_alpha):
    palette = [tuple(row) for row in noise(1 << depth, 4 if has_alpha else 3).tolist()]
    rows = (noise(12, 32, seed=1).astype(int) % (1 << depth)).tolist()
    buffer = io.BytesIO()
    png.Writer(32, 12, palette=palette, bitdepth=depth).write(buffer, rows)
    path = written(tmp_path, "palette.png", buffer.getvalue())
    np.testing.assert_array_equal(read_image(path), np.array(palette, np.uint8)[np.array(rows)])


def test_a_loaded_png_whose_transparent_grey_is_ambiguous_is_refused():
    rows = (noise(12, 32) % 4).tolist()
    buffer = io.BytesIO()
    png.Writer(32, 12, greyscale=True, bitdepth=2, transparent=2).write(buffer, rows)
    with Image.open(buffer) as image:
        image.load()
        with pytest.raises(UnsupportedImageError, match="ambiguous"):
            from_any(image)


def test_a_palette_with_alpha_in_memory_keeps_it():
    image = Image.fromarray(noise(8, 8, 4) // 128 * 255).quantize()
    np.testing.assert_array_equal(from_any(image), np.array(image.convert("RGBA")))
    assert from_any(image).shape[2] == 4


TIFFS = {
    "grey": {"photometric": "minisblack"},
    "white is zero": {"photometric": "miniswhite"},
    "rgb": {"photometric": "rgb"},
    "planar": {"photometric": "rgb", "planarconfig": "separate"},
    "alpha": {"photometric": "rgb", "extrasamples": ["unassalpha"]},
    "grey alpha": {"photometric": "minisblack", "extrasamples": ["unassalpha"]},
}


@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
@pytest.mark.parametrize("kind", TIFFS)
def test_plain_tiff(tmp_path, kind, compression):
    n_channels = {"grey": 1, "white is zero": 1, "alpha": 4, "grey alpha": 2}.get(kind, 3)
    pixels = noise(9, 14, n_channels)
    shaped = pixels[:, :, 0] if n_channels == 1 else pixels
    if kind == "planar":
        shaped = np.ascontiguousarray(pixels.transpose(2, 0, 1))
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, shaped, compression=compression, **TIFFS[kind])
    expected = 255 - pixels if kind == "white is zero" else pixels
    np.testing.assert_array_equal(read_image(path), expected)


def test_tiff_with_separate_planes_of_grey_and_alpha_is_refused(tmp_path):
    path = tmp_path / "image.tif"
    options = TIFFS["grey alpha"] | {"planarconfig": "separate"}
    tifffile.imwrite(path, noise(2, 9, 14), **options)
    with pytest.raises(UnsupportedImageError, match="separate planes"):
        read_image(path)


@pytest.mark.parametrize(
    ("pixels", "options", "message"),
    [
        (noise(9, 14, 4), {"extrasamples": ["unspecified"]}, "samples beside its colours"),
        (noise(9, 14, 4), {"extrasamples": ["assocalpha"]}, "multiplied by alpha"),
        (noise(9, 14, 5), {"extrasamples": ["unassalpha", "unspecified"]}, "tif"),
        (noise(9, 14).astype(np.int8), {"photometric": "minisblack"}, "signed|readable|irec reads"),
        (noise(9, 14, 3).astype(np.uint16) << 7, {}, "more than 8 bits"),
        (noise(9, 14).astype(np.uint16) << 7, {"photometric": "minisblack"}, "more than 8 bits"),
        (noise(9, 14).astype(np.float32), {"photometric": "minisblack"}, "fractions|mode F"),
        (noise(9, 14, 4), {"photometric": "separated"}, "mode CMYK"),
        (noise(3, 9, 14), {"photometric": "minisblack"}, "several frames"),
    ],
)
def test_tiff_whose_samples_would_change_is_refused(tmp_path, pixels, options, message):
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, pixels, **({"photometric": "rgb"} | options))
    with pytest.raises((UnsupportedImageError, DataError), match=message):
        read_image(path)


def test_a_tiff_palette_of_16_bits_is_refused_and_one_of_8_read(tmp_path):
    colours, indices = noise(3, 256).astype(np.uint16), noise(9, 14, seed=1)
    path = tmp_path / "palette.tif"
    tifffile.imwrite(path, indices, photometric="palette", colormap=colours * 257)
    np.testing.assert_array_equal(read_image(path), colours.T[indices].astype(np.uint8))
    tifffile.imwrite(path, indices, photometric="palette", colormap=colours * 251)
    with pytest.raises(UnsupportedImageError, match="palette has 16 bits"):
        read_image(path)


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("n_channels", [3, 4])
def test_webp_as_libwebp_reads_it(tmp_path, n_channels, exact):
    data = imagecodecs.webp_encode(noise(16, 9, n_channels), lossless=exact, level=80)
    path = written(tmp_path, "image.webp", data)
    np.testing.assert_array_equal(read_image(path), imagecodecs.webp_decode(data))


@pytest.mark.parametrize("shape", [(16, 9), (16, 9, 3)])
def test_jpeg_as_libjpeg_reads_it(tmp_path, shape):
    data = imagecodecs.jpeg8_encode(noise(*shape), level=90)
    pixels = read_image(written(tmp_path, "image.jpg", data))
    np.testing.assert_array_equal(pixels.squeeze(), imagecodecs.jpeg8_decode(data))


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("n_channels", [1, 3])
def test_pnm_of_one_image_is_read_and_of_two_refused(tmp_path, n_channels, plain):
    pixels = noise(3, 5, n_channels)
    kind = {(1, True): 2, (3, True): 3, (1, False): 5, (3, False): 6}[n_channels, plain]
    raster = " ".join(map(str, pixels.ravel())).encode() if plain else pixels.tobytes()
    data = b"P%d\n5 3\n255\n" % kind + raster
    path = written(tmp_path, "image.pnm", data + b"\n")
    np.testing.assert_array_equal(read_image(path), pixels)
    path.write_bytes(data + b"\n" + data)
    with pytest.raises(UnsupportedImageError, match="several images"):
        read_image(path)
    assert read_picture(path, convert=True).lost == ("holds several images: takes the first image",)


def test_pbm(tmp_path):
    path = written(tmp_path, "image.pbm", b"P4\n10 2\n" + bytes([0xAA, 0x40, 0x0F, 0x80]))
    expected = 255 * (1 - np.unpackbits(np.array([[0xAA, 0x40], [0x0F, 0x80]], np.uint8), axis=1))
    np.testing.assert_array_equal(read_image(path)[:, :, 0], expected[:, :10])


def bmp_of_32_bits(pixels):
    """A BMP with BI_RGB and 32 bits, whose fourth byte the standard leaves unused."""
    height, width, _ = pixels.shape
    data = pixels[::-1, :, [2, 1, 0, 3]].tobytes()
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 32, 0, len(data), 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + len(data), 0, 0, 54) + info + data


def test_bmp_with_undeclared_alpha_is_refused(tmp_path):
    pixels = noise(5, 7, 4)
    path = written(tmp_path, "image.bmp", bmp_of_32_bits(pixels))
    with pytest.raises(UnsupportedImageError, match="alpha that the file does not declare"):
        read_image(path)
    for unused in (0, 255):
        pixels[:, :, 3] = unused
        path.write_bytes(bmp_of_32_bits(pixels))
        np.testing.assert_array_equal(read_image(path), pixels[:, :, :3])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ["PNG", "TIFF", "WEBP", "JPEG"])
def test_orientation_is_the_same_for_files_and_images_in_memory(file_format, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    Image.fromarray(noise(2, 5, 3)).save(buffer, file_format, exif=exif)
    pixels = read_picture(buffer.getvalue()).pixels
    assert pixels.shape[:2] == ((2, 5) if orientation < 5 else (5, 2))
    for is_loaded in (False, True):
        with Image.open(buffer) as image:
            if is_loaded:
                image.load()
            np.testing.assert_array_equal(from_any(image), pixels)


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("file_format", ["PNG", "TIFF", "WEBP", "JPEG"])
def test_exif_data_are_kept_but_for_the_orientation(file_format, orientation):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = orientation, "Maker"
    exif.get_ifd(0x8769)[0x9003] = "2020:01:01 00:00:00"
    exif.get_ifd(0x8825)[1] = "N"
    buffer = io.BytesIO()
    Image.fromarray(noise(4, 6, 3)).save(buffer, file_format, exif=exif)
    picture = read_picture(buffer.getvalue())
    written = encode_image(picture.pixels, ".png", picture.metadata)
    with Image.open(io.BytesIO(written)) as image:
        found = image.getexif()
        assert found[0x010F] == "Maker"
        assert 0x0112 not in found
        if file_format != "TIFF":  # into which Pillow writes neither
            assert found.get_ifd(0x8769)[0x9003] == "2020:01:01 00:00:00"
            assert found.get_ifd(0x8825)[1] == "N"


def test_damaged_exif_data_do_not_keep_an_image_from_being_read():
    buffer = io.BytesIO()
    Image.fromarray(noise(2, 5, 3)).save(buffer, "PNG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    np.testing.assert_array_equal(read_picture(buffer.getvalue()).pixels, noise(2, 5, 3))


def test_too_many_pixels_are_refused_before_they_are_read(tmp_path):
    header = struct.pack(">IIBBBBB", 65_537, 1, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk
    data += struct.pack(">I", zlib.crc32(chunk)) + struct.pack(">I", 0) + b"IDAT" + bytes(4)
    with pytest.raises(UnsupportedImageError, match="65537x1 pixels; sides of up to 65,536"):
        read_image(written(tmp_path, "wide.png", data))
    Image.fromarray(noise(10, 15, 3)).save(tmp_path / "large.png")
    with pytest.raises(UnsupportedImageError, match=r"15x10 .* limit of 149; .*--max-pixels"):
        read_picture(tmp_path / "large.png", max_pixels=149)


def test_the_limit_of_the_caller_counts_where_it_is_beyond_that_of_pillow(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    Image.fromarray(noise(10, 15, 3)).save(tmp_path / "large.png")
    with pytest.raises(UnsupportedImageError, match="too large"):
        read_picture(tmp_path / "large.png")
    assert read_picture(tmp_path / "large.png", max_pixels=150).pixels.shape == (10, 15, 3)
    assert Image.MAX_IMAGE_PIXELS == 50


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.fromarray(np.full((4, 4), 0x1234, np.uint16)), 0x12),
        (Image.new("CMYK", (4, 4), (0, 0, 0, 0)), 255),
    ],
)
def test_converting_says_what_it_does(image, expected):
    buffer = io.BytesIO()
    image.save(buffer, "TIFF")
    with pytest.raises(UnsupportedImageError, match="irec compress --convert"):
        read_picture(buffer.getvalue())
    picture = read_picture(buffer.getvalue(), convert=True)
    assert (picture.pixels == expected).all()
    assert len(picture.lost) == 1


def test_converting_keeps_the_upper_bits_of_16_bit_colours():
    deep = noise(5, 6, 3).astype(np.uint16) << 8 | 7
    buffer = io.BytesIO()
    png.Writer(6, 5, greyscale=False, bitdepth=16).write(buffer, deep.reshape(5, -1).tolist())
    picture = read_picture(buffer.getvalue(), convert=True)
    np.testing.assert_array_equal(picture.pixels, deep >> 8)
