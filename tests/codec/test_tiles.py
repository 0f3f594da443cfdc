import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from irec.codec.tiles import tiles_of

MAX_SIDE = 512


@given(st.integers(1, 3000), st.integers(1, 3000), st.sampled_from([1, 2, 64]))
def test_tiles_cover_every_pixel_once(height, width, stride):
    covered = np.zeros((height, width), np.uint8)
    for tile in tiles_of(height, width, stride, MAX_SIDE):
        covered[tile.top : tile.top + tile.height, tile.left : tile.left + tile.width] += 1
        assert max(tile.padded_height, tile.padded_width) <= MAX_SIDE
        assert tile.padded_height % stride == tile.padded_width % stride == 0
        assert 0 <= tile.padded_height - tile.height < stride
    assert (covered == 1).all()


def test_padding_repeats_the_edge():
    image = np.arange(27, dtype=np.uint8).reshape(3, 3, 3)
    padded = tiles_of(3, 3, 2, MAX_SIDE)[0].cut_and_pad(image)
    assert padded.shape == (3, 4, 4)
    assert np.array_equal(padded[:, :3, 3], image[:, :, 2])
    assert np.array_equal(padded[:, 3, :3], image[:, 2, :])


@pytest.mark.parametrize("side", [MAX_SIDE, MAX_SIDE - 1, 1])
def test_small_images_are_one_tile(side):
    assert len(tiles_of(side, side, 2, MAX_SIDE)) == 1


def test_without_a_limit_an_image_is_one_tile():
    (tile,) = tiles_of(3000, 2001, 64, None)
    assert (tile.height, tile.width, tile.padded_width) == (3000, 2001, 2048)
