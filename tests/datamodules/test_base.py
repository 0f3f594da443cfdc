import pytest
import torch

from irec.datamodules.base import Batches, EpochSampler
from irec.datamodules.batches import ImageListDataset
from irec.datamodules.datasets import CropDataset
from tests.pictures import noise


def order(epoch, n_processes=1, rank=0):
    sampler = EpochSampler(CropDataset(list(noise(13, 8, 8, 3)), 8), n_processes, rank)
    sampler.set_epoch(epoch)
    return list(sampler)


def test_the_order_follows_from_the_epoch():
    torch.manual_seed(1)
    first = order(3)
    torch.manual_seed(2)
    assert order(3) == first
    assert order(4) != first
    assert sorted(first) == list(range(13))


def test_batches_of_two_processes_are_those_of_one_with_twice_the_size():
    whole, parts = order(0)[:12], [order(0, 2, rank) for rank in (0, 1)]
    for start in range(0, 6, 3):
        together = parts[0][start : start + 3] + parts[1][start : start + 3]
        assert set(together) == set(whole[2 * start : 2 * start + 6])


def test_crops_follow_from_epoch_and_index_on_any_process():
    images = list(noise(4, 20, 20, 3))

    def crops(epoch, n_processes, rank):
        data = CropDataset(images, 8, is_random=True)
        sampler = EpochSampler(data, n_processes, rank)
        sampler.set_epoch(epoch)
        return {index: data[index] for index in sampler}

    whole = crops(1, 1, 0)
    half = crops(1, 2, 1)
    assert all(torch.equal(crop, whole[index]) for index, crop in half.items())
    later = crops(2, 1, 0)
    assert not all(torch.equal(crop, whole[index]) for index, crop in later.items())


@pytest.mark.parametrize(("at_least", "sizes"), [(1, [2, 2, 1]), (3, [2, 2, 1]), (4, [2, 2, 1, 0])])
def test_batches_do_not_depend_on_how_many_processes_want_one(at_least, sizes):
    images = ImageListDataset([(f"{index}", noise(4, 4, 3, seed=index)) for index in range(5)])
    batches = Batches(images, batch_size=2, at_least=at_least)
    assert [len(batches[index].images) for index in range(len(batches))] == sizes
    names = [image.name for index in range(len(batches)) for image in batches[index].images]
    assert names == ["0", "1", "2", "3", "4"]
