import math
import random

import pytest
import torch
import torch.distributed
import torch.multiprocessing

from irec.metrics.bits import BitsPerDimension


def test_mean_over_dimensions_not_over_images():
    metric = BitsPerDimension()
    metric.update(torch.tensor([1024.0, 2048.0]) * math.log(2.0), 2 * 3072)
    metric.update(torch.tensor(10.0) * math.log(2.0), 12)
    assert metric.compute().item() == pytest.approx(3082 / 6156, rel=1e-7)


def test_sums_are_exact_beyond_float32():
    """Whole numbers of nats, so that Python's integers say what the sum must be."""
    generator = random.Random(1)
    metric = BitsPerDimension()
    total = n_dims = 0
    for _ in range(200):
        nats = [generator.randrange(1 << 24) for _ in range(16)]
        dims = generator.randrange(1, 1 << 33)
        metric.update(torch.tensor(nats, dtype=torch.float64), dims)
        total, n_dims = total + sum(nats), n_dims + dims
    assert total > 1 << 24
    assert int(metric.nats.item()) == total
    assert int(metric.n_dims.item()) == n_dims
    assert metric.compute().item() == pytest.approx(total / n_dims / math.log(2.0), rel=1e-15)


def test_float32_terms_are_summed_in_float64():
    metric = BitsPerDimension()
    metric.update(torch.cat([torch.tensor([2.0**24]), torch.ones(1000)]), 1)
    assert metric.nats.item() == 2**24 + 1000


def test_gradients_are_not_kept():
    metric = BitsPerDimension()
    metric.update(torch.ones(3, requires_grad=True), 3)
    assert not metric.nats.requires_grad


def test_reset_starts_from_zero_and_the_mean_of_nothing_is_nan():
    metric = BitsPerDimension()
    metric.update(torch.ones(3), 3)
    metric.reset()
    # torchmetrics warns that compute comes before update, which is the point here.
    with pytest.warns(UserWarning, match="compute"):
        assert math.isnan(metric.compute().item())


def _rank(rank: int, rendezvous: str, results: str) -> None:
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=2
    )
    metric = BitsPerDimension()
    # Uneven shards, as predict deals them.
    for image in range(rank, 5, 2):
        metric.update(torch.tensor(float(2**24 + image), dtype=torch.float64), 10**10 + image)
    value = metric.compute()
    torch.save(value, f"{results}{rank}")
    torch.distributed.destroy_process_group()


@pytest.mark.ddp
def test_two_processes_agree_with_one(tmp_path):
    torch.multiprocessing.spawn(
        _rank, args=(str(tmp_path / "rendezvous"), str(tmp_path / "value")), nprocs=2
    )
    expected = sum(2**24 + i for i in range(5)) / sum(10**10 + i for i in range(5)) / math.log(2.0)
    for rank in range(2):
        assert torch.load(tmp_path / f"value{rank}").item() == pytest.approx(expected, rel=1e-15)
