import dataclasses

import numpy as np
import pytest

from irec.datamodules import clic2018
from irec.datamodules.clic2018 import CLIC2018DataModule
from irec.errors import DataError
from tests.datamodules.published import png, zip_of
from tests.pictures import noise

TRAIN = {f"train/{name}.png": noise(70, 90, 3, seed=i) for i, name in enumerate("abc")}
VALID = {"valid/a.png": noise(64, 96, 3), "valid/b.png": noise(70, 40, 4)}


@pytest.fixture
def clic(publisher, monkeypatch):
    """A small challenge, offered here."""
    for name, images in [("train", TRAIN), ("valid", VALID)]:
        file = clic2018.ARCHIVES[name]
        publisher.files[file.name] = zip_of({path: png(image) for path, image in images.items()})
        new = dataclasses.replace(file, url=publisher.url(file.name))
        monkeypatch.setitem(clic2018.ARCHIVES, name, new)
        monkeypatch.setitem(clic2018.N_IMAGES, name, len(images))
    return publisher


def test_every_stage_gets_its_images(tmp_path, clic):
    for _ in range(2):
        data = CLIC2018DataModule(str(tmp_path), crop_size=32, batch_size=4, max_val_crops=7)
        data.prepare_data()
    assert [name for name, _ in clic.requests] == [
        "professional_train.zip",
        "professional_valid.zip",
    ]
    data.setup("fit")
    assert [batch.shape for batch in data.train_dataloader()] == [(4, 3, 32, 32)] * 3
    assert len(data.val_set) == 7
    data.setup("test")
    assert len(data.test_set) == 2 * 3 + 2 * 1
    first = VALID["valid/a.png"][:32, :32].transpose(2, 0, 1)
    np.testing.assert_array_equal(data.test_set[0], first)
    data.setup("predict")
    batches = list(data.predict_dataloader())
    assert [image.name for batch in batches for image in batch.images] == ["a", "b"]
    np.testing.assert_array_equal(batches[0].images[0].pixels, VALID["valid/a.png"])
    # Alpha is dropped: what is measured are photographs.
    np.testing.assert_array_equal(batches[1].images[0].pixels, VALID["valid/b.png"][:, :, :3])


def test_crops_are_cut_out_of_the_file(tmp_path, clic):
    data = CLIC2018DataModule(str(tmp_path), crop_size=32)
    data.prepare_data()
    data.setup("fit")
    assert all(not image.flags.owndata for image in data.train_set.images)


def test_too_few_images_are_refused(tmp_path, clic, monkeypatch):
    monkeypatch.setitem(clic2018.N_IMAGES, "valid", 41)
    with pytest.raises(DataError, match="professional_valid: 2 images are there, expected 41"):
        CLIC2018DataModule(str(tmp_path)).prepare_data()
    assert not (tmp_path / "professional_valid").exists()


def test_what_is_absent_is_to_be_put_there(tmp_path):
    data = CLIC2018DataModule(str(tmp_path), download=False)
    with pytest.raises(DataError, match=r"put professional_train\.zip into"):
        data.prepare_data()
    with pytest.raises(DataError, match="professional_train: no images there"):
        data.setup("fit")
