import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from irec.codec.tiles import MAX_TILE_SIDE, tiles_of


@given(st.integers(1, 3000), st.integers(1, 3000), st.sampled_from([1, 2, 64]))
def test_tiles_cover_every_pixel_once(height, width, stride):
    covered = np.zeros((height, width), np.uint8)
    for tile in tiles_of(height, width, stride):
        covered[tile.top : tile.top + tile.height, tile.left : tile.left + tile.width] += 1
        assert max(tile.padded_height, tile.padded_width) <= MAX_TILE_SIDE
        assert tile.padded_height % stride == tile.padded_width % stride == 0
        assert 0 <= tile.padded_height - tile.height < stride
    assert (covered == 1).all()


def test_padding_repeats_the_edge():
    image = np.arange(27, dtype=np.uint8).reshape(3, 3, 3)
    padded = tiles_of(3, 3, 2)[0].cut_and_pad(image)
    assert padded.shape == (3, 4, 4)
    assert np.array_equal(padded[:, :3, 3], image[:, :, 2])
    assert np.array_equal(padded[:, 3, :3], image[:, 2, :])


@pytest.mark.parametrize("side", [MAX_TILE_SIDE, MAX_TILE_SIDE - 1, 1])
def test_small_images_are_one_tile(side):
    assert len(tiles_of(side, side, 2)) == 1
