import pytest
from hypothesis import given
from hypothesis import strategies as st

from irec.bitstream import MAX_RATE
from irec.codec.rates import Rates
from irec.errors import InvalidParameterError
from irec.models.rate_control import anchor_position

RATES = Rates((0.001, 0.01, 0.05), "mine")


def test_qualities_are_lambdas_on_a_logarithmic_scale():
    lambdas = {q: RATES.lambda_of(RATES.rate_of(q)) for q in (0.0, 25.0, 50.0, None, 100.0)}
    assert lambdas[0.0] == pytest.approx(0.001)
    assert lambdas[25.0] == pytest.approx((0.001 * 0.01) ** 0.5)
    assert lambdas[None] == lambdas[50.0] == pytest.approx(0.01)
    assert lambdas[100.0] == pytest.approx(0.05)


@given(st.integers(0, MAX_RATE))
def test_position_and_lambda_belong_together(rate):
    found = anchor_position(RATES.lambda_of(rate), RATES.lambdas)
    assert found == pytest.approx(RATES.position_of(rate), abs=1e-9)


@given(st.integers(0, MAX_RATE))
def test_a_files_quality_gives_its_rate(rate):
    assert RATES.rate_of(RATES.quality_of(rate)) == rate


def test_the_nearest_anchor():
    assert [RATES.nearest_anchor(rate) for rate in (0, 49, 50, 149, 150, 200)] == [0, 0, 1, 1, 2, 2]


def test_one_rate():
    rates = Rates((0.02,), "mine")
    assert rates.rate_of(None) == 0
    assert rates.quality_of(0) is None
    assert rates.lambda_of(0) == pytest.approx(0.02)
    assert rates.nearest_anchor(0) == 0
    with pytest.raises(InvalidParameterError, match="mine is a model of one rate"):
        rates.rate_of(50.0)
