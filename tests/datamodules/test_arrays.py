import errno
import os
import shutil
from collections import namedtuple

import numpy as np
import pytest
import torch

from irec.datamodules.arrays import ArrayDataset, write_images
from irec.datamodules.image_files import read_array
from irec.errors import DataError
from irec.files import OutputFileError
from tests.pictures import noise


@pytest.fixture
def images(tmp_path):
    """20 images, mapped from a file."""
    np.save(tmp_path / "images.npy", noise(20, 4, 6, 3))
    return read_array(tmp_path / "images.npy")


def test_images_come_in_batches(images):
    dataset = ArrayDataset(images)
    assert len(dataset) == 20
    batch = dataset.__getitems__([7, 3, 3])
    np.testing.assert_array_equal(batch, images[[7, 3, 3]].transpose(0, 3, 1, 2))
    assert batch.is_contiguous()
    assert torch.equal(dataset[7], batch[0])


def test_mapped_images_are_not_copied(images):
    assert not images.flags.writeable
    assert np.shares_memory(ArrayDataset(images).images, images)
    # What comes out belongs to whoever asked for it.
    ArrayDataset(images)[0].zero_()


def test_flips_follow_seed_epoch_and_index(images):
    dataset = ArrayDataset(images, is_random=True)
    everything = list(range(20))
    plain = torch.from_numpy(images.copy()).permute(0, 3, 1, 2)
    patterns = []
    for seed, epoch in [(0, 0), (0, 1), (1, 0), (0, 0)]:
        dataset.draw(seed, epoch)
        batch = dataset.__getitems__(everything)
        is_flipped = (batch == plain.flip(3)).all(dim=(1, 2, 3))
        assert torch.equal(batch[~is_flipped], plain[~is_flipped])
        assert torch.equal(dataset.__getitems__(everything[::-1]), batch.flip(0))
        patterns.append(tuple(is_flipped.tolist()))
    assert patterns[0] == patterns[3]
    assert len(set(patterns)) == 3
    assert 3 < sum(patterns[0]) < 17


def test_batches_become_one_file(tmp_path):
    images = noise(7, 4, 6, 3)
    path = tmp_path / "images.npy"
    # Transposed, as the planes of published batches are.
    planes = np.ascontiguousarray(images.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1)
    write_images(path, images.shape, [planes[:4], images[4:6], images[6:]])
    np.testing.assert_array_equal(np.load(path), images)
    assert [found.name for found in tmp_path.iterdir()] == ["images.npy"]


@pytest.mark.parametrize("n_images", [6, 8])
def test_another_number_of_images_leaves_nothing(tmp_path, n_images):
    with pytest.raises(DataError, match=rf"7 images are there, expected {n_images}"):
        write_images(tmp_path / "images.npy", (n_images, 4, 6, 3), [noise(7, 4, 6, 3)])
    assert not list(tmp_path.iterdir())


def fail(descriptor):
    raise OSError(errno.ENOSPC, "No space")


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(100))
    with pytest.raises(DataError, match="the disk is too full"):
        write_images(tmp_path / "images.npy", (7, 4, 6, 3), [noise(7, 4, 6, 3)])
    monkeypatch.undo()
    (tmp_path / ".images.npy.part").write_bytes(b"left by a killed process")
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OutputFileError, match=r"cannot write .*images\.npy: the disk is full"):
        write_images(tmp_path / "images.npy", (7, 4, 6, 3), [noise(7, 4, 6, 3)])
    assert not list(tmp_path.iterdir())
