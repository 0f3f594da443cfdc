import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from irec.bitstream import LOSSY
from irec.codec.qualities import Qualities
from irec.errors import InvalidParameterError

QUALITIES = Qualities((0.001, 0.01, 0.05), "mine")


def test_qualities_are_lambdas_on_a_logarithmic_scale():
    lambdas = {
        q: QUALITIES.lambda_of(QUALITIES.index_of(q)) for q in (0.0, 25.0, 50.0, None, 100.0)
    }
    assert lambdas[0.0] == pytest.approx(0.001)
    assert lambdas[25.0] == pytest.approx((0.001 * 0.01) ** 0.5)
    assert lambdas[None] == lambdas[50.0] == pytest.approx(0.01)
    assert lambdas[100.0] == pytest.approx(0.05)


@given(st.integers(0, LOSSY.max_quality_index))
def test_position_and_lambda_belong_together(index):
    found = np.interp(
        np.log(QUALITIES.lambda_of(index)), np.log(QUALITIES.lambdas), range(len(QUALITIES.lambdas))
    )
    assert found == pytest.approx(QUALITIES.anchor_position_of(index), abs=1e-9)


@given(st.integers(0, LOSSY.max_quality_index))
def test_a_files_quality_gives_its_index(index):
    assert QUALITIES.index_of(QUALITIES.quality_of(index)) == index


def test_the_nearest_anchor():
    assert [QUALITIES.nearest_anchor(index) for index in (0, 49, 50, 149, 150, 200)] == [
        0,
        0,
        1,
        1,
        2,
        2,
    ]


def test_one_quality():
    qualities = Qualities((0.02,), "mine")
    assert qualities.index_of(None) == 0
    assert qualities.quality_of(0) is None
    assert qualities.lambda_of(0) == pytest.approx(0.02)
    assert qualities.nearest_anchor(0) == 0
    with pytest.raises(InvalidParameterError, match="mine is a model of one quality"):
        qualities.index_of(50.0)
