import pytest
import torch
import torch.distributed
import torch.multiprocessing

from irec.metrics.set_means import SetMeans


def test_batches_count_by_their_images():
    means = SetMeans()
    means.add("bpd", torch.tensor(1.0, requires_grad=True), 3)
    means.add("bpd", 5.0, 1)
    means.add("psnr", torch.tensor(30.0), 2)
    assert means.compute() == {"bpd": 2.0, "psnr": 30.0}
    assert SetMeans().compute() == {}


def test_sums_keep_what_float32_would_lose():
    means = SetMeans()
    means.add("x", torch.tensor(2.0**24), 1)
    for _ in range(1000):
        means.add("x", torch.tensor(1.0), 1)
    assert means.compute()["x"] == (2.0**24 + 1000) / 1001


def _rank(rank, rendezvous, results):
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=2
    )
    means = SetMeans()
    for batch in range(rank, 3, 2):  # the second rank has fewer
        means.add("x", float(batch), batch + 1)
    if rank == 1:
        means.add("only here", 7.0, 1)
    torch.save(means.compute(), f"{results}{rank}")
    torch.distributed.destroy_process_group()


@pytest.mark.ddp
def test_two_processes_agree_with_one(tmp_path):
    torch.multiprocessing.spawn(
        _rank, args=(str(tmp_path / "rendezvous"), str(tmp_path / "means")), nprocs=2
    )
    for rank in range(2):
        found = torch.load(tmp_path / f"means{rank}")
        assert found == {"x": (0 * 1 + 1 * 2 + 2 * 3) / 6, "only here": 7.0}
