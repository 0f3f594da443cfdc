import numpy as np
import pytest
import torch

from irec.datamodules.datasets import CropDataset, ImageDataset
from irec.datamodules.image_files import read_array
from irec.errors import DataError
from tests.pictures import noise


@pytest.fixture
def images(tmp_path):
    """20 images, mapped from a file."""
    np.save(tmp_path / "images.npy", noise(20, 4, 6, 3))
    return read_array(tmp_path / "images.npy")


def test_images_come_in_batches(images):
    dataset = ImageDataset(images)
    assert len(dataset) == 20
    batch = dataset.__getitems__([7, 3, 3])
    np.testing.assert_array_equal(batch, images[[7, 3, 3]].transpose(0, 3, 1, 2))
    assert batch.is_contiguous()
    assert torch.equal(dataset[7], batch[0])


def test_mapped_images_are_not_copied(images):
    assert not images.flags.writeable
    assert np.shares_memory(ImageDataset(images).images, images)
    # What comes out belongs to whoever asked for it.
    ImageDataset(images)[0].zero_()


def test_flips_follow_seed_epoch_and_index(images):
    dataset = ImageDataset(images, is_random=True)
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


def draws(crops, index, n):
    """One crop as `n` epochs see it."""
    seen = []
    for epoch in range(n):
        crops.draw(seed=1, epoch=epoch)
        seen.append(crops[index])
    return torch.stack(seen)


def test_fixed_crops_tile_the_image():
    image = noise(70, 100, 3)
    crops = CropDataset([image], 32)
    assert len(crops) == 2 * 3
    np.testing.assert_array_equal(crops[4], image[32:64, 32:64].transpose(2, 0, 1))
    assert torch.equal(crops.__getitems__([4, 0])[0], crops[4])


def test_random_crops_lie_inside_the_image():
    # Every pixel says where it is, so that a crop tells its place and whether it is flipped.
    rows, columns = np.mgrid[:70, :100].astype(np.uint8)
    image = np.stack([rows, columns, rows], axis=2)
    crops = CropDataset([image], 32, is_random=True)
    batch = draws(crops, 5, 400).int()
    tops, lefts = batch[:, 0].amin((1, 2)), batch[:, 1].amin((1, 2))
    flipped = batch[:, 1, 0, 0] > batch[:, 1, 0, -1]
    # The second of two shares of 39 places, and the third of three shares of 69.
    assert set(tops.tolist()) == set(range(19, 39))
    assert set(lefts.tolist()) == set(range(46, 69))
    assert 140 < flipped.sum() < 260
    unflipped = torch.where(flipped[:, None, None, None], batch.flip(3), batch)
    for crop, top, left in zip(unflipped, tops, lefts, strict=True):
        expected = image[top : top + 32, left : left + 32].transpose(2, 0, 1)
        np.testing.assert_array_equal(crop, expected)


@pytest.mark.parametrize(("height", "width"), [(56, 32), (70, 100), (95, 33)])
def test_random_crops_reach_every_row_and_column(height, width):
    image = np.ones((height, width, 3), np.uint8)
    crops, seen = CropDataset([image], 32, is_random=True), np.zeros((height, width), bool)
    for epoch in range(300):
        crops.draw(seed=1, epoch=epoch)
        for (_, row, column), (down, right) in zip(crops.cells, crops._places, strict=True):
            top = crops._start(row, height, float(down))
            left = crops._start(column, width, float(right))
            seen[top : top + 32, left : left + 32] = True
    assert seen.any(axis=0).all()
    assert seen.any(axis=1).all()


def test_images_of_the_size_of_a_crop_are_only_flipped():
    image = noise(32, 32, 3)
    batch = draws(CropDataset([image], 32, is_random=True), 0, 50)
    seen = {crop.numpy().tobytes() for crop in batch}
    plain = np.ascontiguousarray(image.transpose(2, 0, 1))
    assert seen == {plain.tobytes(), np.ascontiguousarray(plain[:, :, ::-1]).tobytes()}


def test_images_that_are_too_small_take_no_part():
    small, large = noise(31, 64, 3), noise(32, 64, 3)
    crops = CropDataset([small, large], 32)
    assert len(crops) == 2
    np.testing.assert_array_equal(crops[0], large[:, :32].transpose(2, 0, 1))


def test_images_that_hold_no_crop_are_refused():
    with pytest.raises(DataError, match="none of 2 images holds a crop of 32 pixels"):
        CropDataset([noise(31, 90, 3), noise(90, 31, 3)], 32)
    with pytest.raises(DataError, match="none of 0 images"):
        CropDataset([], 32)


def test_images_are_cut_where_they_are(tmp_path):
    np.save(tmp_path / "images.npy", noise(3, 40, 50, 3))
    images = np.load(tmp_path / "images.npy", mmap_mode="r")
    crops = CropDataset(list(images), 32, is_random=True)
    assert all(np.shares_memory(image, images) for image in crops.images)
    # What comes out belongs to whoever asked for it.
    crops[0].zero_()
