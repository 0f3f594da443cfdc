import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Normal

from irec.codec.latent_sources import GroupedSource, progression
from irec.coding import CoderSettings, TensorCode, blocks_at_each_step

CODER = CoderSettings(candidates_per_step=256, steps_per_block=12, order="step")


class Recorder:
    """Gives the posterior's mean, and notes what it was asked for."""

    def __init__(self):
        self.seen = []

    def __call__(self, prior, posterior, tensor):
        self.seen.append((prior, posterior, tensor))
        return (prior if posterior is None else posterior).loc


def normal(channels):
    return Normal(torch.randn(2, channels, 3, 4), torch.rand(2, channels, 3, 4) + 0.1)


def test_only_the_last_tensor_is_split_and_comes_back_whole():
    inner = Recorder()
    source = GroupedSource(inner, 1, [(3, 0), (1,), (4, 2)])
    first, prior, posterior = normal(4), normal(5), normal(5)
    assert torch.equal(source(first, None, 0), first.loc)
    assert torch.equal(source(prior, posterior, 1), posterior.loc)
    assert inner.seen[0] == (first, None, 0)
    groups = inner.seen[1:]
    assert [own.loc.shape[1] for own, _, _ in groups] == [2, 1, 2]
    assert [tensor for _, _, tensor in groups] == [1, 2, 3]
    assert torch.equal(groups[0][1].scale, posterior.scale[:, [3, 0]])
    assert torch.equal(groups[2][0].loc, prior.loc[:, [4, 2]])


def codes_of(n_steps):
    return [TensorCode(n, 0, torch.zeros(0, dtype=torch.int64)) for n in n_steps]


@given(
    st.lists(st.tuples(st.integers(0, 400), st.integers(1, 3000)), min_size=1, max_size=5),
)
def test_every_index_has_its_place(tensors):
    n_steps, n_dims = zip(*tensors, strict=True)
    tensor_of = progression(codes_of(n_steps), n_dims, CODER)
    assert np.bincount(tensor_of, minlength=len(tensors)).tolist() == list(n_steps)


@given(st.integers(1, 3000), st.integers(1, 2000))
def test_steps_count_the_same_as_the_layout_deals(n_dims, n_steps):
    assert sum(blocks_at_each_step(n_dims, n_steps, 3, CODER)) == n_steps


def test_the_coarsest_comes_first_and_all_end_together():
    # 600 and 300 steps on as many dimensions: the first lacks twice the bits.
    tensor_of = progression(codes_of([10, 600, 300]), [64, 4800, 4800], CODER)
    assert (tensor_of[:10] == 0).all()
    rest = tensor_of[10:]
    # Half of the richer tensor, and the step at which they are even, pass before the other begins.
    assert int((rest == 2).argmax()) == 350
    counts = np.bincount(rest[-100:], minlength=3)
    assert counts[1] > 20
    assert counts[2] > 20
