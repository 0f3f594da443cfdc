"""The limit on pixels counts what a model works on: of lossy images the padded ones."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from irec.bitstream import LATTICE, LOSSLESS, LOSSY, STORED
from irec.codec import LossyCodec, decompress, load_codec, multiple_of
from irec.errors import UnsupportedImageError
from irec.images import check_size
from irec.models.zoo import load_checkpoint
from tests.checkpoints import write_lossy_checkpoint, write_transform_checkpoint
from tests.pictures import picture

SIDES = st.one_of(st.integers(1, 300), st.integers(1, 65_536))


@pytest.fixture(scope="module", params=[write_lossy_checkpoint, write_transform_checkpoint])
def folder(request, tmp_path_factory):
    return request.param(tmp_path_factory.mktemp("models") / "lossy")


@given(SIDES, SIDES, st.sampled_from([LOSSY, LOSSLESS, LATTICE, STORED]))
def test_an_image_fits_where_its_padded_pixels_do(height, width, profile):
    multiple = 64 if profile.is_lossy else 1
    assert multiple_of(profile) == multiple
    padded_height, padded_width = (
        -(-height // multiple) * multiple,
        -(-width // multiple) * multiple,
    )
    n_pixels = padded_height * padded_width
    check_size(width, height, n_pixels, "x.irec", multiple)
    check_size(width, height, None, "x.irec", multiple)
    with pytest.raises(UnsupportedImageError) as caught:
        check_size(width, height, n_pixels - 1, "x.irec", multiple)
    text = str(caught.value)
    assert text.startswith(f"x.irec: {width}x{height} pixels")
    assert f"limit of {n_pixels - 1:,}; " in text
    padded = f"{n_pixels:,} once padded to {padded_width}x{padded_height} for the model"
    assert (padded in text) == (n_pixels > height * width)


def test_these_are_the_pixels_that_the_model_sees(folder):
    codec = LossyCodec(load_checkpoint(folder), effort=1)

    @settings(max_examples=30, deadline=None)
    @given(SIDES, SIDES)
    def check(height, width):
        (tile,) = codec._tiles(height, width)
        multiple = multiple_of(codec.profile)
        check_size(width, height, tile.padded_pixels, "x", multiple)
        with pytest.raises(UnsupportedImageError):
            check_size(width, height, tile.padded_pixels - 1, "x", multiple)

    check()


def test_a_thin_file_is_refused_before_any_work(folder, monkeypatch):
    codec = load_codec(str(folder), lossy=True, effort=1)
    image = picture(3, 100, 3)
    data = codec.encode(image).data
    given_back = decompress(data, checkpoint=str(folder), max_pixels=128 * 64)
    assert given_back.shape == image.shape
    monkeypatch.setattr(LossyCodec, "decode", lambda *given: pytest.fail("worked"))
    expected = "100x3 pixels, 8,192 once padded to 128x64 for the model, are more .* of 8,191; "
    with pytest.raises(UnsupportedImageError, match=expected):
        decompress(data, checkpoint=str(folder), max_pixels=8191)
