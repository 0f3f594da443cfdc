import signal

import pytest
import torch

from irec.coding import CoderSettings, SearchSettings, encode_batch
from irec.coding.find_paths import find_together


@pytest.mark.parametrize("order", ["block", "step"])
@pytest.mark.parametrize(("n_beams", "n_candidates"), [(1, 16), (20, 16), (150, 16), (20, 128)])
def test_kernel_and_torch_find_the_same_paths(pairs, monkeypatch, order, n_beams, n_candidates):
    monkeypatch.setattr("irec.coding.find_paths._MAX_NOISE", 0.0)  # torch multiplies floats
    posterior, prior = pairs([12.0, 70.0, 150.0], 300)
    coder = CoderSettings(n_candidates, blocks_per_stream=5, order=order)
    search = SearchSettings(n_beams=n_beams)
    compiled = encode_batch(posterior, prior, 3, coder=coder, search=search)
    monkeypatch.setattr("irec.coding.find_paths._find_on_cores", find_together)
    reference = encode_batch(posterior, prior, 3, coder=coder, search=search)
    for one, other in zip(compiled, reference, strict=True):
        assert one.n_steps > 1
        assert torch.equal(one.indices, other.indices)


def test_ctrl_c_during_a_search_comes_as_itself(pairs, monkeypatch):
    posterior, prior = pairs([150.0], 300)

    def search_on():
        for seed in range(1000):
            encode_batch(posterior, prior, seed, search=SearchSettings(n_beams=4096))

    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)  # searches in this very thread
    encode_batch(posterior, prior, 3)
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    try:
        with pytest.raises(KeyboardInterrupt):
            search_on()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
