import numpy as np
import pytest

from irec.datamodules.image_folder import ImageFolderDataModule
from irec.datamodules.mixed import MixedDataModule
from irec.errors import DataError
from tests.pictures import noise


@pytest.fixture
def mixture(tmp_path):
    np.save(tmp_path / "large.npy", noise(6, 40, 40, 3))
    np.save(tmp_path / "small.npy", noise(4, 8, 8, 3, seed=1))
    parts = [
        ImageFolderDataModule(train=[source], val=[source], crop_size=side, batch_size=2)
        for source, side in ((str(tmp_path / "large.npy"), 16), (str(tmp_path / "small.npy"), 8))
    ]
    return MixedDataModule(parts)


def test_each_step_sees_a_batch_of_every_part_and_an_epoch_is_the_largest(mixture):
    mixture.setup("fit")
    steps = [batches for batches, _, _ in iter(mixture.train_dataloader())]
    assert len(steps) == len(mixture.parts[0].train_dataloader()) == 12
    for large, small in steps:
        assert large.shape == (2, 3, 16, 16)
        assert small.shape == (2, 3, 8, 8)


def test_validation_sees_all_parts(mixture):
    mixture.setup("validate")
    large, small = mixture.val_dataloader()
    assert next(iter(large)).shape[2:] == (16, 16)
    assert next(iter(small)).shape[2:] == (8, 8)


def test_measuring_takes_the_first_part(tmp_path, mixture):
    for part, name in zip(mixture.parts, ("large", "small"), strict=True):
        part.sources["predict"] = [str(tmp_path / f"{name}.npy")]
    mixture.setup("test")
    assert {batch.shape[1:] for batch in mixture.test_dataloader()} == {(3, 16, 16)}
    mixture.setup("predict")
    images = [image for batch in mixture.predict_dataloader() for image in batch.images]
    assert {image.pixels.shape for image in images} == {(40, 40, 3)}


def test_every_part_is_fetched(mixture, monkeypatch):
    fetched = []
    for part in mixture.parts:
        monkeypatch.setattr(part, "prepare_data", lambda part=part: fetched.append(part))
    mixture.prepare_data()
    assert fetched == mixture.parts


def test_a_mixture_of_nothing_is_refused():
    with pytest.raises(DataError, match="at least one"):
        MixedDataModule([])
