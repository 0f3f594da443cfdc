import numpy as np
from PIL import Image

from irec.datamodules.batches import FailedImage, ImageListDataset
from tests.pictures import noise


def test_an_unreadable_image_leaves_the_others_of_its_batch(tmp_path):
    for name in ("a.png", "c.png"):
        Image.fromarray(noise(4, 4, 3)).save(tmp_path / name)
    (tmp_path / "b.png").write_bytes(b"no image")
    names = ["a.png", "b.png", "c.png"]
    images = ImageListDataset([(name, tmp_path / name) for name in names])
    batch = images.__getitems__([0, 1, 2])
    assert [image.name for image in batch.images] == ["a.png", "c.png"]
    (failure,) = batch.failures
    assert isinstance(failure, FailedImage)
    assert failure.name == "b.png"
    assert str(tmp_path / "b.png") in failure.reason
    np.testing.assert_array_equal(batch.images[1].pixels, noise(4, 4, 3))
