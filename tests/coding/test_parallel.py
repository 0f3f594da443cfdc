import pytest
import torch

from irec.coding import (
    CoderSettings,
    SearchSettings,
    decode_batch,
    encode_batch,
    kl_nats,
    log_ratio_nats,
)
from irec.coding.parallel import map_on_cores


@pytest.fixture(params=[1, 2])
def n_threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_results_keep_their_order_and_threads_are_given_back(n_threads):
    assert map_on_cores(lambda x: x * x, list(range(20))) == [x * x for x in range(20)]
    assert torch.get_num_threads() == n_threads


def test_an_error_in_one_search_reaches_the_caller(n_threads):
    with pytest.raises(ZeroDivisionError):
        map_on_cores(lambda x: 1 // x, [2, 1, 0])
    assert torch.get_num_threads() == n_threads


@pytest.mark.parametrize("order", ["block", "step"])
def test_number_of_threads_does_not_change_the_code(pairs, order):
    posterior, prior = pairs([20.0, 30.0, 40.0, 50.0, 60.0, 70.0], 400)
    search = SearchSettings(n_beams=32)
    before = torch.get_num_threads()
    codes = []
    for n_threads in (1, 2):
        torch.set_num_threads(n_threads)
        coder = CoderSettings(order=order)
        codes.append(encode_batch(posterior, prior, 0, coder=coder, search=search))
    torch.set_num_threads(before)
    for one, two in zip(*codes, strict=True):
        assert torch.equal(one.indices, two.indices)


def test_searching_all_dimensions_or_those_that_matter_is_as_good(pairs):
    posterior, prior = pairs([150.0, 200.0, 250.0, 300.0], 600)
    log_ratios = []
    for negligible in (0.0, 0.01):
        search = SearchSettings(n_beams=64, negligible_kl_fraction=negligible)
        codes = encode_batch(posterior, prior, 0, search=search)
        z = decode_batch(codes, prior, 0)
        log_ratios.append(float(log_ratio_nats(z, posterior, prior)))
    assert log_ratios[0] == pytest.approx(log_ratios[1], rel=0.04)
    assert min(log_ratios) > 0.85 * float(kl_nats(posterior, prior))
