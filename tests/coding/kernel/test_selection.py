import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from irec.coding.kernel.selection import GROUPS, note_best, select_best, threshold


@pytest.mark.parametrize(
    ("n_beams", "n_candidates", "n_wanted"),
    [
        (1, 64, 100),
        (1, 64, 64),
        (1, 64, 5),
        (100, 64, 100),
        (7, 2, 10),
        (30, 256, 1),
        (3, 4, 12),
        (40, 256, 700),
    ],
)
@pytest.mark.parametrize("n_values", [1, 5, 10**6])
def test_selection_takes_the_largest_even_of_equals(n_beams, n_candidates, n_wanted, n_values):
    random = np.random.default_rng(0)
    n_rows = n_candidates // 2
    product, base, quadratic = (
        random.integers(-n_values, n_values, shape).astype(np.float32)
        for shape in ((n_beams, n_rows), n_beams, n_rows)
    )
    check_selection(product, base, quadratic, n_wanted)


@pytest.mark.parametrize("every", [1, 7, 9, 16])
def test_selection_when_some_groups_are_far_better(every):
    """A sample of the groups' best scores may then hold none of those, or nothing else."""
    random = np.random.default_rng(every)
    product = random.normal(size=(100, 16)).astype(np.float32)
    product.reshape(-1)[::every] += 100.0
    zeros = np.zeros(100, np.float32)
    check_selection(product, zeros, zeros[:16], 200)


def check_selection(product, base, quadratic, n_wanted):
    n_rows = len(quadratic)
    shared = base[:, None] + quadratic
    score = np.stack((shared + product, shared - product), 2).reshape(len(base), -1)
    best = np.empty((len(base), min(GROUPS, n_rows)), np.float32)
    note_best(product, base, quadratic, best)
    parent, index = np.zeros((2, n_wanted), np.int32)
    found = np.zeros(n_wanted, np.float32)
    n = select_best(product, base, quadratic, best, n_wanted, parent, index, found)
    assert n == min(n_wanted, score.size)
    assert len(set(zip(parent[:n].tolist(), index[:n].tolist(), strict=True))) == n
    assert np.array_equal(score[parent[:n], index[:n]], found[:n])
    assert np.array_equal(np.sort(score[parent[:n], index[:n]]), np.sort(score.ravel())[-n:])


@given(
    st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=60),
    st.integers(1, 70),
    st.integers(0, 5),
)
def test_threshold_is_reached_by_as_many_as_are_wanted(values, n_wanted, n_spare):
    values = np.array(values, np.float32)
    bound = threshold(values, n_wanted, n_spare)
    n_reaching = int((values >= bound).sum())
    if n_wanted > len(values):
        assert bound == -np.inf
    else:
        assert n_reaching >= n_wanted
        # More than are spare only where they are equal.
        assert n_reaching <= n_wanted + n_spare or (values > bound).sum() < n_wanted
