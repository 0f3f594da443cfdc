import dataclasses

import numpy as np
import pytest
from lightning.pytorch.trainer.states import TrainerFn

from irec.datamodules import kodak
from irec.datamodules.kodak import IMAGES, KodakDataModule
from irec.errors import DataError
from tests.datamodules.published import png
from tests.pictures import picture

PORTRAIT = {4, 9, 10, 17, 18, 19}


@pytest.fixture(scope="module")
def photographs():
    """What is published, with other contents."""
    landscape = png(picture(512, 768, 3))
    portrait = png(picture(768, 512, 3))
    return {
        file.name: portrait if number in PORTRAIT else landscape
        for number, file in enumerate(IMAGES, start=1)
    }


@pytest.fixture
def suite(publisher, photographs, monkeypatch):
    publisher.files |= photographs
    here = [dataclasses.replace(file, url=publisher.url(file.name)) for file in IMAGES]
    monkeypatch.setattr(kodak, "IMAGES", here)
    return publisher


def test_all_images_are_there_whole(tmp_path, suite):
    for _ in range(2):
        data = KodakDataModule(str(tmp_path))
        data.prepare_data()
    assert [name for name, _ in suite.requests] == [f"kodim{i:02d}.png" for i in range(1, 25)]
    data.setup("predict")
    images = [image for batch in data.predict_dataloader() for image in batch.images]
    assert [image.name for image in images] == [f"kodim{i:02d}.png" for i in range(1, 25)]
    data.setup("test")
    batches = list(data.test_dataloader())
    assert {batch.shape for batch in batches} == {(1, 3, 512, 768), (1, 3, 768, 512)}
    np.testing.assert_array_equal(batches[0][0], images[0].pixels.transpose(2, 0, 1))


def test_only_what_is_absent_is_downloaded(tmp_path, suite, photographs):
    for name in sorted(photographs)[:-1]:
        (tmp_path / name).write_bytes(photographs[name])
    data = KodakDataModule(str(tmp_path), max_predict_images=3)
    data.prepare_data()
    assert [name for name, _ in suite.requests] == ["kodim24.png"]
    data.setup("predict")
    assert len(data.predict_set) == 3


def test_other_images_are_named(tmp_path, suite):
    suite.files["kodim03.png"] = png(picture(512, 512, 3))
    data = KodakDataModule(str(tmp_path))
    data.prepare_data()
    with pytest.raises(DataError, match=r"kodim03\.png: 512x512 pixels .*768x512"):
        data.setup("predict")


def test_what_is_absent_is_to_be_put_there(tmp_path, suite):
    del suite.files["kodim02.png"]
    with pytest.raises(DataError, match=r"kodim02\.png: .*404.*put kodim02\.png into"):
        KodakDataModule(str(tmp_path)).prepare_data()
    with pytest.raises(DataError, match=r"put kodim02\.png into"):
        KodakDataModule(str(tmp_path), download=False).prepare_data()


@pytest.mark.parametrize(("stage", "name"), [("fit", "fit"), (TrainerFn.VALIDATING, "validate")])
def test_they_are_no_training_set(stage, name):
    with pytest.raises(DataError, match=f"for {name} name a training set"):
        KodakDataModule().setup(stage)
