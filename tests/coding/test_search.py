import pytest
import torch

from irec.coding import (
    CoderSettings,
    SearchSettings,
    decode_batch,
    encode,
    encode_batch,
    kernel,
    log_ratio_nats,
    whitened_sample,
)
from irec.coding.find_paths import find_together
from irec.coding.gaussians import whiten
from irec.coding.hypotheses import _distinct
from irec.coding.search import Beams, _top


@pytest.fixture(params=["compiled", "torch"])
def found(monkeypatch, request):
    """The log-ratios of the best beams that searches end with, without constants."""
    values = []
    best_paths, search_stream = Beams.best_paths, kernel.search_stream

    def note_and_return(self, lengths):
        values.extend(self.log_ratio.amax(1).tolist())
        return best_paths(self, lengths)

    def search_and_note(*args):
        path, log_ratio = search_stream(*args)
        values.append(log_ratio)
        return path, log_ratio

    if request.param == "torch":
        monkeypatch.setattr("irec.coding.find_paths._find_on_cores", find_together)
        monkeypatch.setattr(Beams, "best_paths", note_and_return)
    else:
        monkeypatch.setattr(kernel, "search_stream", search_and_note)
    return values


@pytest.mark.parametrize("order", ["block", "step"])
@pytest.mark.parametrize("n_dims", [300, 17])
def test_the_search_knows_the_log_ratio_of_what_is_decoded(
    normal, found, monkeypatch, order, n_dims
):
    monkeypatch.setattr("irec.coding.encoder._FEW_NATS", 0.0)  # one search alone
    generator = torch.Generator().manual_seed(0)
    scale = 0.02 + 0.9 * torch.rand(n_dims, generator=generator, dtype=torch.float64)
    mean = torch.randn(n_dims, generator=generator, dtype=torch.float64)
    posterior, prior = normal(mean * (1 - scale**2).sqrt(), scale), normal(0 * mean, 1.0)
    coder = CoderSettings(64, order=order)
    search = SearchSettings(n_beams=32, negligible_kl_fraction=0.0)
    code = encode(posterior, prior, 1, coder=coder, search=search)
    assert code.n_steps >= 3
    whitened = whiten(*(normal(part.loc[None], part.scale[None]) for part in (posterior, prior)))
    u = whitened_sample(code, n_dims, 1, coder=coder)
    constants = float((0.5 * whitened.mean.square() - whitened.scale.log()).sum())
    decoded = float(whitened.log_ratio_nats(u[None]).sum())
    assert len(found) == 1
    assert found[0] + constants == pytest.approx(decoded, rel=1e-4)


def test_step_order_is_nearly_as_good_as_block_order(pairs):
    posterior, prior = pairs([300.0] * 4, 1000)
    ratios = []
    for order in ("block", "step"):
        coder = CoderSettings(order=order)
        codes = encode_batch(posterior, prior, 2, coder=coder, search=SearchSettings(n_beams=64))
        z = decode_batch(codes, prior, 2, coder=coder)
        ratios.append(float(log_ratio_nats(z, posterior, prior)))
    assert ratios[1] > 0.97 * ratios[0]


def test_tensors_of_other_lengths_are_searched_together(pairs):
    """Streams whose blocks differ in number and steps come back to them at other iterations."""
    posterior, prior = pairs([10.0, 200.0, 45.0, 90.0], 128)
    coder = CoderSettings(steps_per_block=5, blocks_per_stream=3, order="step")
    codes = encode_batch(posterior, prior, 0, coder=coder, search=SearchSettings(n_beams=64))
    for i, kl in enumerate([10.0, 200.0, 45.0, 90.0]):
        own = [normals_row(part, i) for part in (posterior, prior)]
        z = decode_batch([codes[i]], normals_row(prior, slice(i, i + 1)), 0, coder=coder)[0]
        assert float(log_ratio_nats(z, *own)) > 0.7 * kl


def test_little_memory_costs_efficiency_only(pairs, monkeypatch):
    monkeypatch.setattr("irec.coding.plan.MAX_KEPT", 5 << 12)
    posterior, prior = pairs([100.0] * 2, 400)
    coder, search = CoderSettings(order="step"), SearchSettings(n_beams=32)
    codes = encode_batch(posterior, prior, 0, coder=coder, search=search)
    z = decode_batch(codes, prior, 0, coder=coder)
    assert 0.0 < float(log_ratio_nats(z, posterior, prior)) < 170.0


def normals_row(normals, i):
    return torch.distributions.Normal(normals.loc[i], normals.scale[i], validate_args=False)


@pytest.mark.parametrize(("size", "k"), [(64, 64), (640, 7), (4096, 256), (4096, 255), (30, 4)])
def test_top_finds_the_largest(size, k):
    score = torch.randn(3, size, generator=torch.Generator().manual_seed(0))
    score[1, : size // 2] = -torch.inf
    values, places = _top(score, k)
    assert torch.equal(score.gather(1, places), values)
    assert torch.equal(values.sort(descending=True).values, score.topk(k).values)
    assert all(row.unique().numel() == k for row in places)


def test_distinct_values_of_each_row():
    values = torch.tensor([[3, 0, 3, 3], [1, 1, 1, 1]])
    distinct, place = _distinct(values)
    assert torch.equal(distinct.gather(1, place), values)
    assert distinct.shape == (2, 2)
