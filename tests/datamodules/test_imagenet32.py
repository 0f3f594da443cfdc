import dataclasses
import hashlib
import io

import numpy as np
import pytest
from lightning.pytorch import Trainer
from lightning.pytorch.trainer.states import TrainerFn
from PIL import Image

from irec.datamodules import imagenet32
from irec.datamodules.imagenet32 import SPLITS, ImageNet32DataModule, read_archive
from irec.errors import DataError, UnsupportedImageError
from tests.datamodules import published
from tests.pictures import noise

IMAGES = {"train": noise(23, 32, 32, 3), "valid": noise(7, 32, 32, 3, seed=1)}
MAKERS = {
    "oord2016": published.oord2016,
    "chrabaszcz2017": published.chrabaszcz2017_npz,
}


@pytest.fixture(params=MAKERS)
def release(request, publisher, monkeypatch):
    """A release made small and offered here, with its name."""
    for (release, name), split in SPLITS.items():
        file = split.archive
        data = publisher.files[file.name] = MAKERS[release](name, IMAGES[name])
        checksum = f"sha256:{hashlib.sha256(data).hexdigest()}"
        offered = dataclasses.replace(file, url=publisher.url(file.name), checksum=checksum)
        small = imagenet32.Split(offered, len(IMAGES[name]))
        monkeypatch.setitem(SPLITS, (release, name), small)
    return request.param


def chw(images):
    return images.transpose(0, 3, 1, 2)


def test_a_release_is_downloaded_and_converted_once(tmp_path, publisher, release):
    for _ in range(2):
        data = ImageNet32DataModule(str(tmp_path), release, batch_size=4, max_val_images=5)
        data.prepare_data()
        data.setup("fit")
        assert [batch.shape for batch in data.train_dataloader()] == [(4, 3, 32, 32)] * 5
        plain = chw(IMAGES["train"])[3]
        seen = data.train_set[3].numpy()
        assert any(np.array_equal(seen, image) for image in (plain, plain[:, :, ::-1]))
        np.testing.assert_array_equal(
            np.concatenate(list(data.val_dataloader())), chw(IMAGES["valid"])[:5]
        )
    expected = [SPLITS[release, name].archive.name for name in IMAGES]
    assert [name for name, _ in publisher.requests] == expected
    np.testing.assert_array_equal(np.load(tmp_path / f"{release}_train.npy"), IMAGES["train"])


@pytest.mark.parametrize("stage", ["test", "predict"])
def test_measuring_needs_no_training_images(tmp_path, publisher, release, stage):
    data = ImageNet32DataModule(str(tmp_path), release, max_predict_images=2)
    data.trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    data.trainer.state.fn = TrainerFn.TESTING if stage == "test" else TrainerFn.PREDICTING
    data.prepare_data()
    assert len(publisher.requests) == 1
    data.setup(stage)
    if stage == "test":
        seen = np.concatenate(list(data.test_dataloader()))
        np.testing.assert_array_equal(seen, chw(IMAGES["valid"]))
        return
    (batch,) = data.predict_dataloader()
    assert [image.name for image in batch.images] == ["valid_00000", "valid_00001"]
    np.testing.assert_array_equal(batch.images[1].pixels, IMAGES["valid"][1])


def test_images_come_in_pieces_that_memory_holds(tmp_path, monkeypatch):
    monkeypatch.setattr(imagenet32, "PNG_BATCH", 3)
    archive = tmp_path / "valid_32x32.tar"
    archive.write_bytes(published.oord2016("valid", IMAGES["valid"]))
    pieces = list(read_archive(archive))
    assert [len(piece) for piece in pieces] == [3, 3, 1]
    np.testing.assert_array_equal(np.concatenate(pieces), IMAGES["valid"])


def test_archives_may_be_put_there(tmp_path, publisher, release):
    for name in IMAGES:
        file = SPLITS[release, name].archive
        (tmp_path / file.name).write_bytes(publisher.files[file.name])
    data = ImageNet32DataModule(str(tmp_path), release, download=False)
    data.prepare_data()
    data.setup("test")
    np.testing.assert_array_equal(data.test_set.images, IMAGES["valid"])
    assert not publisher.requests


@pytest.mark.parametrize(
    ("release_name", "words"),
    [
        ("oord2016", r"put train_32x32\.tar into .*took it down"),
        ("chrabaszcz2017", r"put Imagenet32_train_npz\.zip into .*asks for an account"),
    ],
)
def test_what_is_absent_is_to_be_put_there(tmp_path, release_name, words):
    with pytest.raises(DataError, match=words):
        ImageNet32DataModule(str(tmp_path), release_name, download=False).prepare_data()
    with pytest.raises(DataError, match=rf"{release_name}_valid\.npy: no such file"):
        ImageNet32DataModule(str(tmp_path), release_name).setup("predict")


def test_a_release_that_is_gone_says_so(tmp_path, publisher, release):
    publisher.files.clear()
    with pytest.raises(DataError, match=r"HTTP 404.*put (train_32x32|Imagenet32_train_npz)"):
        ImageNet32DataModule(str(tmp_path), release).prepare_data()


def test_too_few_images_are_refused(tmp_path, release, monkeypatch):
    split = SPLITS[release, "train"]
    monkeypatch.setitem(SPLITS, (release, "train"), dataclasses.replace(split, n_images=24))
    with pytest.raises(DataError, match="23 images are there, expected 24"):
        ImageNet32DataModule(str(tmp_path), release).prepare_data()
    assert not list(tmp_path.glob("*.npy*"))


def deep_png():
    buffer = io.BytesIO()
    Image.fromarray(noise(32, 32).astype(np.uint16)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        (published.png(noise(32, 32)), DataError, r"shape \(32, 32, 1\), expected 32x32"),
        (published.png(noise(32, 32, 4)), DataError, r"shape \(32, 32, 4\)"),
        (published.png(noise(64, 64, 3)), DataError, r"shape \(64, 64, 3\)"),
        (deep_png(), UnsupportedImageError, "bits per channel|mode I"),
        (b"not a PNG", DataError, "not a readable PNG"),
        (published.png(noise(32, 32, 3))[:500], DataError, "damaged or unreadable"),
    ],
)
def test_other_images_are_named(tmp_path, data, error, words):
    archive = tmp_path / "train_32x32.tar"
    archive.write_bytes(published.tar_of({"train_32x32/0000001.png": data}))
    with pytest.raises(error, match=rf"train_32x32\.tar: train_32x32/0000001\.png: .*({words})"):
        list(read_archive(archive))


def npz(**arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("val_data.npz", npz(data=np.zeros((3, 3072))), "data are float64"),
        ("val_data.npz", npz(data=noise(3, 3071)), r"uint8 of shape \(3, 3071\)"),
        ("val_data.npz", npz(data=np.array([{}])), "not a readable .npz"),
        ("val_data.npz", npz(labels=np.zeros(3)), "not a readable .npz"),
        ("val_data.npz", b"not an archive", "not a readable .npz"),
        ("val_data.npz", published.zip_of({"labels.npy": b""}), "not a readable .npz"),
    ],
)
def test_other_batches_are_named(tmp_path, monkeypatch, name, data, words):
    monkeypatch.chdir(tmp_path)
    archive = tmp_path / "Imagenet32_val.zip"
    archive.write_bytes(published.zip_of({name: data}))
    with pytest.raises(DataError, match=rf"Imagenet32_val\.zip: {name}: .*{words}"):
        list(read_archive(archive))
    assert [path.name for path in tmp_path.iterdir()] == ["Imagenet32_val.zip"]


def test_a_batch_that_would_fill_the_memory_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(imagenet32, "_MAX_BATCH_BYTES", 3072)
    archive = tmp_path / "Imagenet32_val.zip"
    archive.write_bytes(published.zip_of({"val_data.npz": npz(data=noise(1, 3072))}))
    with pytest.raises(DataError, match=r"not a readable \.npz \(it unpacks to more than 3,072"):
        list(read_archive(archive))
