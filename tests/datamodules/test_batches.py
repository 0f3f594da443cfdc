import numpy as np
import pytest
from PIL import Image

from irec.datamodules.batches import BatchDataset, FailedImage, ImageListDataset
from tests.pictures import noise


@pytest.fixture
def images():
    return ImageListDataset([(f"{index}", noise(4, 4, 3, seed=index)) for index in range(5)])


@pytest.mark.parametrize(("at_least", "sizes"), [(1, [2, 2, 1]), (3, [2, 2, 1]), (4, [2, 2, 1, 0])])
def test_batches_do_not_depend_on_how_many_processes_want_one(images, at_least, sizes):
    batches = BatchDataset(images, batch_size=2, at_least=at_least)
    assert [len(batches[index].images) for index in range(len(batches))] == sizes
    names = [image.name for index in range(len(batches)) for image in batches[index].images]
    assert names == ["0", "1", "2", "3", "4"]


def test_an_unreadable_image_leaves_the_others_of_its_batch(tmp_path):
    for name in ("a.png", "c.png"):
        Image.fromarray(noise(4, 4, 3)).save(tmp_path / name)
    (tmp_path / "b.png").write_bytes(b"no image")
    names = ["a.png", "b.png", "c.png"]
    batch = BatchDataset(ImageListDataset([(name, tmp_path / name) for name in names]), 3)[0]
    assert [image.name for image in batch.images] == ["a.png", "c.png"]
    (failure,) = batch.failures
    assert isinstance(failure, FailedImage)
    assert failure.name == "b.png"
    assert str(tmp_path / "b.png") in failure.reason
    np.testing.assert_array_equal(batch.images[1].pixels, noise(4, 4, 3))
