import pytest
import torch

from irec.coding.philox import _rounds, philox

KNOWN_ANSWERS = [  # Random123, kat_vectors, philox4x32 10
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    (
        (0xFFFFFFFF,) * 4,
        (0xFFFFFFFF,) * 2,
        (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
    ),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


def reference(counter, key):
    """Philox4x32-10 in Python's unbounded integers."""
    (c0, c1, c2, c3), (k0, k1) = counter, key
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 % 2**32, (p0 >> 32) ^ c3 ^ k1, p0 % 2**32
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return c0, c1, c2, c3


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN_ANSWERS)
def test_known_answers(counter, key, words):
    assert tuple(philox(tuple(map(torch.tensor, counter)), key).tolist()) == words
    assert reference(counter, key) == words


def test_many_counters_at_once_give_what_each_gives_alone():
    generator = torch.Generator().manual_seed(0)
    counters = torch.randint(0, 1 << 32, (4, 20_000), generator=generator)  # more than one chunk
    before = counters.clone()
    words = philox(counters.unbind(), (123, 1 << 31))
    assert torch.equal(counters, before)
    for j in (0, 1, 8191, 8192, 19_999):
        assert tuple(words[:, j].tolist()) == reference(counters[:, j].tolist(), (123, 1 << 31))


def test_counters_are_broadcast():
    zero, column, row = torch.tensor(0), torch.arange(5), torch.arange(3).unsqueeze(1)
    words = philox((column, row, zero, zero), (7, 8))
    assert words.shape == (4, 3, 5)
    assert tuple(words[:, 2, 4].tolist()) == reference((4, 2, 0, 0), (7, 8))


def test_accelerators_count_alike():
    generator = torch.Generator().manual_seed(0)
    counters = torch.randint(0, 1 << 32, (4, 500), generator=generator).unbind()
    on_accelerator = torch.stack(_rounds(*counters, 123, 0xFFFFFFFF))
    assert torch.equal(on_accelerator, philox(counters, (123, 0xFFFFFFFF)))
