import numpy as np
import pytest
from PIL import Image

from irec.datamodules.image_files import read_array, read_rgb, read_sources
from irec.datamodules.image_folder import ImageFolderDataModule
from irec.errors import DataError
from irec.images import without_image_suffix
from tests.pictures import noise


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


@pytest.fixture
def photos(tmp_path):
    """A folder with an RGB image of 70x50 pixels and one of 40x64."""
    save(tmp_path / "photos/a.png", noise(50, 70, 3))
    save(tmp_path / "photos/inner/b.png", noise(64, 40, 3, seed=1))
    return tmp_path / "photos"


def test_training_images_are_rgb(tmp_path):
    pixels = noise(4, 4, 4)
    save(tmp_path / "rgba.png", pixels)
    save(tmp_path / "grey.png", pixels[:, :, 0])
    np.testing.assert_array_equal(read_rgb(tmp_path / "rgba.png"), pixels[:, :, :3])
    np.testing.assert_array_equal(read_rgb(tmp_path / "grey.png"), pixels[:, :, :1].repeat(3, 2))


def test_sources_may_be_folders_files_and_arrays(tmp_path, photos):
    np.save(tmp_path / "array.npy", noise(5, 32, 32, 3))
    sources = [str(photos), str(photos / "a.png"), tmp_path / "array.npy"]
    shapes = [image.shape for image in read_sources(sources)]
    assert shapes == [(50, 70, 3), (64, 40, 3), (50, 70, 3)] + [(32, 32, 3)] * 5


@pytest.mark.parametrize(
    "array", [np.zeros((5, 32, 32, 3)), noise(5, 3, 32, 32), noise(32, 32, 3), noise(7)]
)
def test_arrays_of_another_kind_are_refused(tmp_path, array):
    np.save(tmp_path / "array.npy", array)
    with pytest.raises(DataError, match=r"array\.npy: holds .* must be uint8"):
        read_array(tmp_path / "array.npy")


def test_files_that_are_no_arrays_are_refused(tmp_path):
    (tmp_path / "text.npy").write_text("hello")
    (tmp_path / "empty.npy").touch()
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    for name in ("text", "empty", "objects"):
        with pytest.raises(DataError, match=rf"{name}\.npy: not a readable"):
            read_array(tmp_path / f"{name}.npy")
    with pytest.raises(DataError, match="no such file"):
        read_array(tmp_path / "absent.npy")


def test_fit_cuts_crops_and_predict_keeps_whole_images(photos):
    data = ImageFolderDataModule(
        train=[str(photos)],
        val=[str(photos)],
        predict=[str(photos)],
        batch_size=2,
        max_val_crops=3,
        decoded_dir=str(photos.parent / "decoded"),
    )
    data.setup("fit")
    assert [batch.shape for batch in data.train_dataloader()] == [(2, 3, 32, 32)] * 2
    assert [len(batch) for batch in data.val_dataloader()] == [2, 1]
    data.setup("predict")
    (batch,) = data.predict_dataloader()
    assert [(image.name, image.pixels.shape) for image in batch.images] == [
        ("a.png", (50, 70, 3)),
        ("inner/b.png", (64, 40, 3)),
    ]


def test_images_of_arrays_are_named_by_their_index(tmp_path):
    images = noise(3, 32, 32, 3)
    np.save(tmp_path / "cifar.npy", images)
    data = ImageFolderDataModule(predict=[str(tmp_path / "cifar.npy")], max_predict_images=2)
    data.setup("predict")
    (batch,) = data.predict_dataloader()
    assert [image.name for image in batch.images] == ["cifar_00000", "cifar_00001"]
    np.testing.assert_array_equal(batch.images[1].pixels, images[1])


def test_no_source_is_refused():
    with pytest.raises(DataError, match=r"give --data\.train"):
        ImageFolderDataModule().setup("fit")


def test_images_that_differ_in_their_suffix_are_told_apart(photos):
    save(photos / "a.bmp", noise(4, 4, 3))
    data = ImageFolderDataModule(predict=[str(photos)])
    data.setup("predict")
    names = [name for name, _ in data.predict_set.items]
    assert {"a_bmp", "a_png"} <= set(names)
    assert len({without_image_suffix(name) for name in names}) == len(names)


def test_arrays_with_points_in_their_names_are_told_apart(tmp_path):
    np.save(tmp_path / "cifar.v2.npy", noise(2, 8, 8, 3))
    data = ImageFolderDataModule(predict=[str(tmp_path / "cifar.v2.npy")])
    data.setup("predict")
    assert [name for name, _ in data.predict_set.items] == ["cifar.v2_00000", "cifar.v2_00001"]


def test_one_image_named_twice_is_refused(photos):
    with pytest.raises(DataError, match=r"the same file: a\.png and a\.png"):
        ImageFolderDataModule(predict=[str(photos / "a.png")] * 2).setup("predict")
