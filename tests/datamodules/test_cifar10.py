import contextlib
import hashlib
import io
import pickle
import tarfile

import numpy as np
import pytest
from torchvision.datasets import CIFAR10

from irec.datamodules import cifar10 as cifar10_module
from irec.datamodules import published
from irec.datamodules.cifar10 import CIFAR10DataModule
from irec.errors import DataError

N_IMAGES = 6


def md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr("urllib.request.urlopen", refuse)


@pytest.fixture
def cifar10(tmp_path, monkeypatch):
    """A small data set in torchvision's layout, its checksums made known to torchvision."""
    root = tmp_path / "cifar10"
    folder = root / CIFAR10.base_folder
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)

    def write(name, **contents):
        (folder / name).write_bytes(pickle.dumps(contents))
        return md5(folder / name)

    def batch(name):
        pixels = generator.integers(0, 256, (N_IMAGES, 3072), dtype=np.uint8)
        return [name, write(name, data=pixels, labels=[0] * N_IMAGES)]

    monkeypatch.setattr(CIFAR10, "train_list", [batch("data_batch_1"), batch("data_batch_2")])
    monkeypatch.setattr(CIFAR10, "test_list", [batch("test_batch")])
    meta = {**CIFAR10.meta, "md5": write("batches.meta", label_names=["frog"])}
    monkeypatch.setattr(CIFAR10, "meta", meta)
    return root


def test_every_stage_gets_its_images(cifar10, no_network):
    data = CIFAR10DataModule(str(cifar10), batch_size=4, max_val_images=5, max_predict_images=3)
    data.prepare_data()
    data.setup("fit")
    assert [batch.shape for batch in data.train_dataloader()] == [(4, 3, 32, 32)] * 3
    assert len(data.val_set) == 5
    data.setup("test")
    assert [len(batch) for batch in data.test_dataloader()] == [4, 2]
    data.setup("predict")
    (batch,) = data.predict_dataloader()
    assert [image.name for image in batch.images] == ["test_00000", "test_00001", "test_00002"]
    raw = pickle.loads((cifar10 / CIFAR10.base_folder / "test_batch").read_bytes())["data"]
    expected = raw[1].reshape(3, 32, 32)
    np.testing.assert_array_equal(batch.images[1].pixels, expected.transpose(1, 2, 0))
    np.testing.assert_array_equal(data.test_set[1], expected)


@pytest.mark.parametrize("download", [True, False])
def test_an_archive_put_into_the_folder_is_unpacked(cifar10, monkeypatch, no_network, download):
    folder = cifar10 / CIFAR10.base_folder
    archive = cifar10 / CIFAR10.filename
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, CIFAR10.base_folder)
    monkeypatch.setattr(CIFAR10, "tgz_md5", md5(archive))
    for path in folder.iterdir():
        path.unlink()
    data = CIFAR10DataModule(str(cifar10), download)
    data.prepare_data()
    data.setup("validate")
    assert len(data.val_set) == N_IMAGES


def test_what_another_process_has_unpacked_meanwhile_is_taken(cifar10, monkeypatch, no_network):
    folder = cifar10 / CIFAR10.base_folder
    unpacked = folder.rename(cifar10 / "by another")

    @contextlib.contextmanager
    def waiting(_):
        unpacked.rename(folder)
        yield

    monkeypatch.setattr(published, "locked", waiting)
    data = CIFAR10DataModule(str(cifar10))
    data.prepare_data()
    data.setup("test")
    assert len(data.test_set) == N_IMAGES


@pytest.mark.parametrize(("most", "words"), [(1 << 30, "damaged"), (100, "too large for CIFAR-10")])
def test_an_archive_that_cannot_be_unpacked_is_to_be_fetched_again(
    tmp_path, monkeypatch, no_network, most, words
):
    archive = tmp_path / CIFAR10.filename
    with tarfile.open(archive, "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("folder/empty"))
        large = tarfile.TarInfo("folder/large")
        large.size = 1 << 20
        tar.addfile(large, io.BytesIO(np.random.default_rng(0).bytes(large.size)))
    if words == "damaged":
        archive.write_bytes(archive.read_bytes()[:1000])
    # The checksum is right: what was fetched is what is published, and yet it will not do.
    monkeypatch.setattr(CIFAR10, "tgz_md5", md5(archive))
    monkeypatch.setattr(cifar10_module, "MAX_UNPACKED_BYTES", most)
    with pytest.raises(DataError, match=rf"{words}.*; delete it and fetch it again"):
        CIFAR10DataModule(str(tmp_path)).prepare_data()
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []


def test_where_there_is_no_network_the_archive_to_fetch_is_named(tmp_path, no_network):
    data = CIFAR10DataModule(str(tmp_path / "absent"))
    with pytest.raises(DataError, match=r"no network.*put cifar-10-python\.tar\.gz into .*absent"):
        data.prepare_data()


@pytest.mark.parametrize("cut_after", [[], [1000]])
def test_the_archive_is_downloaded_and_unpacked(
    tmp_path, cifar10, publisher, monkeypatch, cut_after
):
    with tarfile.open(tmp_path / "archive", "w:gz") as tar:
        tar.add(cifar10 / CIFAR10.base_folder, CIFAR10.base_folder)
    publisher.files[CIFAR10.filename] = (tmp_path / "archive").read_bytes()
    publisher.cut_after = list(cut_after)
    monkeypatch.setattr(CIFAR10, "url", publisher.url(CIFAR10.filename))
    monkeypatch.setattr(CIFAR10, "tgz_md5", md5(tmp_path / "archive"))
    data = CIFAR10DataModule(str(tmp_path / "another"))
    data.prepare_data()
    data.prepare_data()
    data.setup("fit")
    assert len(data.train_set) == 2 * N_IMAGES
    assert len(publisher.requests) == 1 + len(cut_after)


def test_an_absent_data_set_is_not_downloaded_unasked(tmp_path):
    data = CIFAR10DataModule(str(tmp_path / "absent"), download=False)
    with pytest.raises(DataError, match=r"put cifar-10-python\.tar\.gz into"):
        data.prepare_data()
    with pytest.raises(DataError, match=r"absent or damaged .*put cifar-10-python\.tar\.gz beside"):
        data.setup("fit")
