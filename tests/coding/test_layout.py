import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from irec.coding.layout import make_layout
from irec.coding.settings import CoderSettings, SearchSettings
from irec.coding.shared_randomness import SharedRandomness
from irec.errors import InvalidParameterError


def layout_of(n_dims, n_steps, seed=0, tensor=0, coder=None):
    randomness = SharedRandomness(seed, tensor, torch.device("cpu"))
    return make_layout(n_dims, n_steps, 0, coder or CoderSettings(), randomness)


@given(st.integers(1, 3000), st.integers(1, 900), st.integers(1, 9), st.integers(1, 8))
def test_every_dimension_and_step_is_dealt_once(n_dims, n_steps, steps_per_block, per_stream):
    coder = CoderSettings(steps_per_block=steps_per_block, blocks_per_stream=per_stream)
    layout = layout_of(n_dims, n_steps, coder=coder)
    dims = layout.dims_of_block[layout.is_present]
    assert torch.equal(dims.sort().values, torch.arange(n_dims))
    assert int(layout.steps_of_block.sum()) == n_steps
    assert int(layout.steps_of_block.max() - layout.steps_of_block.min()) <= 1
    assert int(layout.steps_of_block.min()) >= 1
    assert layout.is_present[:, :-1].all()
    assert layout.n_blocks <= -(-n_dims // 16)
    widths = layout.is_present.sum(1)
    assert int(widths.max() - widths.min()) <= 1
    assert layout.n_streams == -(-layout.n_blocks // per_stream)


def test_blocks_are_stratified_and_shuffled():
    layout = layout_of(1000, 40)
    assert layout.n_blocks == 10
    runs = layout.dims_of_block // 10
    assert torch.equal(runs, torch.arange(100).expand(10, 100))  # one dimension of each run
    places = layout.dims_of_block % 10
    assert all(row.unique().numel() == 10 for row in places)  # but not always the same one


def test_layout_depends_on_seed_and_tensor_only():
    assert torch.equal(layout_of(500, 99).dims_of_block, layout_of(500, 99).dims_of_block)
    assert not torch.equal(layout_of(500, 99).dims_of_block, layout_of(500, 99, 1).dims_of_block)
    other = layout_of(500, 99, tensor=1).dims_of_block
    assert not torch.equal(layout_of(500, 99).dims_of_block, other)


@pytest.mark.parametrize(
    "wrong",
    [
        {"candidates_per_step": 48},
        {"candidates_per_step": 1},
        {"candidates_per_step": 1 << 17},
        {"steps_per_block": 0},
        {"blocks_per_stream": 0},
    ],
)
def test_impossible_coder_settings_are_refused(wrong):
    with pytest.raises(InvalidParameterError):
        CoderSettings(**wrong)


def test_an_order_that_does_not_exist_is_refused():
    coder = object.__new__(CoderSettings)  # past the type checker that the tests run under
    fields = {"candidates_per_step": 64, "steps_per_block": 4, "blocks_per_stream": 64}
    for name, value in (fields | {"order": "stream"}).items():
        object.__setattr__(coder, name, value)
    with pytest.raises(InvalidParameterError, match="stream"):
        coder.__post_init__()


def test_effort_doubles_beams():
    beams = [SearchSettings.from_effort(effort).n_beams for effort in range(1, 10)]
    assert beams == [48, 96, 192, 384, 768, 1536, 3072, 6144, 12288]
    assert SearchSettings.from_effort(5) == SearchSettings()
    for wrong in (0, 10):
        with pytest.raises(InvalidParameterError):
            SearchSettings.from_effort(wrong)
    with pytest.raises(InvalidParameterError):
        SearchSettings(n_beams=0)
    with pytest.raises(InvalidParameterError):
        SearchSettings(negligible_kl_fraction=1.0)
