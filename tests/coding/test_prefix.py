"""Starts of codes decode, in the order in which their indices are sent."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from irec.coding import (
    CoderSettings,
    SearchSettings,
    TensorCode,
    decode,
    decode_batch,
    encode_batch,
    log_ratio_nats,
    whitened_sample,
)
from irec.coding.layout import make_layout, transmission
from irec.coding.settings import Order
from irec.coding.shared_randomness import SharedRandomness
from irec.errors import CorruptFileError


def coder_of(order: Order) -> CoderSettings:
    return CoderSettings(steps_per_block=3, blocks_per_stream=2, order=order)


def layout_of(n_dims, n_steps, order, seed=0):
    randomness = SharedRandomness(seed, 0, torch.device("cpu"))
    return make_layout(n_dims, n_steps, 1, coder_of(order), randomness)


def some_code(n_steps, n_sent=None):
    return TensorCode(n_steps, 1, (torch.arange(n_steps)[:n_sent] * 29) % 256)


def test_step_order_sends_each_step_of_all_blocks_and_then_the_next():
    layout = layout_of(80, 14, "step")
    assert layout.steps_of_block.tolist() == [3, 3, 3, 3, 2]
    block, step = transmission(layout.steps_of_block, "step")
    assert block.tolist() == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1, 2, 3]
    assert step.tolist() == [0] * 5 + [1] * 5 + [2] * 4
    block, step = transmission(layout.steps_of_block, "block")
    assert block.tolist() == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3 + [4] * 2
    assert step.tolist() == [0, 1, 2] * 4 + [0, 1]


@settings(max_examples=30)
@given(st.sampled_from(["step", "block"]), st.integers(1, 150), st.integers(1, 40), st.data())
def test_a_prefix_fixes_the_blocks_that_it_completes(order, n_dims, n_steps, data):
    coder = coder_of(order)
    n_sent = data.draw(st.integers(0, n_steps))
    layout = layout_of(n_dims, n_steps, order)
    whole = whitened_sample(some_code(n_steps), n_dims, 0, coder=coder)
    part = whitened_sample(some_code(n_steps, n_sent), n_dims, 0, coder=coder, allow_prefix=True)
    sent = transmission(layout.steps_of_block, order)[0][:n_sent].bincount(
        minlength=layout.n_blocks
    )
    for block in range(layout.n_blocks):
        dims = layout.dims_of_block[block][layout.is_present[block]]
        if sent[block] == layout.steps_of_block[block]:
            assert torch.equal(part[dims], whole[dims])
        else:
            assert not torch.equal(part[dims], whole[dims])
        assert bool((part[dims] == 0).all()) == (sent[block] == 0)


@pytest.mark.parametrize("order", ["step", "block"])
def test_the_whole_and_the_empty_prefix(normal, order):
    coder = coder_of(order)
    prior = normal(torch.linspace(-1, 1, 60).view(3, 20), 0.7)
    whole, empty = some_code(23), some_code(23, 0)
    assert whole.n_bits(coder) == 23 * 8
    assert empty.n_bits(coder) == 0
    z = decode(whole, prior, 4, coder=coder)
    assert torch.equal(z, decode(whole, prior, 4, coder=coder, allow_prefix=True))
    assert torch.equal(decode(empty, prior, 4, coder=coder, allow_prefix=True), prior.loc)
    draw = decode(some_code(0), prior, 4, coder=coder, allow_prefix=True)
    assert not torch.equal(draw, prior.loc)  # a code without steps is a draw, not a prefix


def test_prefixes_decode_in_a_batch_as_alone(normal):
    coder = coder_of("step")
    prior = normal(torch.zeros(4, 200), 1.0)
    codes = [some_code(30, n) for n in (0, 7, 29, 30)]
    together = decode_batch(codes, prior, 1, coder=coder, allow_prefix=True)
    for code, z in zip(codes, together, strict=True):
        alone = decode(code, normal(torch.zeros(200), 1.0), 1, coder=coder, allow_prefix=True)
        assert torch.equal(alone, z)


def test_prefixes_are_taken_only_where_they_are_expected(normal):
    prior = normal(torch.zeros(50), 1.0)
    with pytest.raises(CorruptFileError):
        decode(some_code(9, 8), prior, 0)
    too_long = TensorCode(2, 5, torch.tensor([1, 2, 3]))
    with pytest.raises(CorruptFileError):
        decode(too_long, prior, 0, allow_prefix=True)
    with pytest.raises(CorruptFileError):
        decode(TensorCode(9, 5, torch.tensor([256])), prior, 0, allow_prefix=True)


def test_more_of_a_code_is_nearer_to_the_posterior(pairs):
    coder = CoderSettings(order="step")
    posterior, prior = pairs([200.0] * 4, 400)
    codes = encode_batch(posterior, prior, 0, coder=coder, search=SearchSettings(n_beams=32))
    log_ratios, distances = [], []
    for eighths in range(9):
        parts = [
            TensorCode(code.n_steps, code.rho_index, code.indices[: code.n_steps * eighths // 8])
            for code in codes
        ]
        z = decode_batch(parts, prior, 0, coder=coder, allow_prefix=True)
        log_ratios.append(float(log_ratio_nats(z, posterior, prior)))
        distances.append(float(((z - posterior.loc) / posterior.scale).square().sum()))
    assert log_ratios == sorted(log_ratios)
    assert distances == sorted(distances, reverse=True)
    assert torch.equal(z, decode_batch(codes, prior, 0, coder=coder))
