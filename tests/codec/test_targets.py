from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from irec.codec.qualities import first_that_fits, interpolated


def search(sizes, estimates, limit):
    """Look for the highest index within a limit, and count the files that are made."""
    made = []

    def encode(index):
        made.append(index)
        return SimpleNamespace(file_bits=sizes[index], index=index)

    highest_first = range(len(sizes))[::-1]
    found = first_that_fits(
        highest_first,
        [float(estimates[index] - limit) for index in highest_first],
        encode,
        lambda encoded: encoded.file_bits - limit,
    )
    assert len(set(made)) == len(made)
    return (None if found is None else found.index), len(made)


sizes_and_limits = st.lists(st.integers(1, 1000), min_size=1, max_size=201).flatmap(
    lambda sizes: st.tuples(st.just(sizes), st.integers(0, 1001))
)


@given(sizes_and_limits)
def test_exact_estimates_find_the_highest_that_fits_whatever_the_sizes(case):
    sizes, limit = case
    fitting = [index for index, size in enumerate(sizes) if size <= limit]
    index, n_made = search(sizes, sizes, limit)
    assert index == (fitting[-1] if fitting else None)
    assert n_made <= 2


@given(sizes_and_limits, st.data())
def test_whatever_the_estimates_the_answer_fits_and_the_next_does_not(case, data):
    sizes, limit = case
    estimates = data.draw(st.lists(st.integers(1, 1000), min_size=len(sizes), max_size=len(sizes)))
    index, _ = search(sizes, estimates, limit)
    if index is None:
        assert sizes[0] > limit
    else:
        assert sizes[index] <= limit
        assert index == len(sizes) - 1 or sizes[index + 1] > limit


@pytest.mark.parametrize("factor", [0.9, 1.0, 1.1])
def test_few_files_are_made_where_estimates_are_a_little_off(factor):
    sizes = [1000.0 * 1.02**index for index in range(201)]
    for limit in (1500.0, 5000.0, 20_000.0):
        index, n_made = search(sizes, [factor * size for size in sizes], limit)
        assert sizes[index] <= limit < sizes[index + 1]
        assert n_made <= 4


def test_values_between_known_ones():
    assert interpolated({0: 1.0, 2: 3.0, 3: 0.0}, 4) == [1.0, 2.0, 3.0, 0.0]
