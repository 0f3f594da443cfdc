import numpy as np
import pytest

from irec.datamodules.image_store import map_store, write_store
from irec.errors import DataError
from tests.pictures import noise

IMAGES = [("a", noise(5, 7, 3)), ("b", noise(1, 1, 3)), ("c", noise(8, 2, 3, seed=1))]


def test_images_come_back_mapped(tmp_path):
    write_store(tmp_path / "store", 3, IMAGES)
    images = map_store(tmp_path / "store")
    assert [name for name, _ in images] == ["a", "b", "c"]
    for (_, pixels), (_, expected) in zip(images, IMAGES, strict=True):
        np.testing.assert_array_equal(pixels, expected)
        assert not pixels.flags.owndata
    assert not list(tmp_path.glob("*.part"))


def test_another_number_of_images_leaves_nothing(tmp_path):
    with pytest.raises(DataError, match="store: 3 images are there, expected 4"):
        write_store(tmp_path / "store", 4, IMAGES)
    assert not list(tmp_path.iterdir())


def test_absent_and_damaged_stores_are_named(tmp_path):
    with pytest.raises(DataError, match="absent: no images there"):
        map_store(tmp_path / "absent")
    write_store(tmp_path / "store", 3, IMAGES)
    with (tmp_path / "store/pixels.bin").open("ab") as out:
        out.write(b"?")
    with pytest.raises(DataError, match=r"store: damaged .* delete it"):
        map_store(tmp_path / "store")
