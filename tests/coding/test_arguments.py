import numpy as np
import pytest
import torch
from torch.distributions import Cauchy, Independent, Normal

from irec.coding import CoderSettings, SearchSettings
from irec.coding.arguments import as_normal, whole_number
from irec.errors import InvalidParameterError


@pytest.mark.parametrize("value", [1.5, 2.0, "a", None, True, np.float64(3)])
def test_what_is_no_whole_number_is_named(value):
    with pytest.raises(InvalidParameterError, match="seed must be a whole number, not "):
        whole_number(value, "seed")


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        (CoderSettings, "candidates_per_step", 100),
        (CoderSettings, "candidates_per_step", 1 << 17),
        (CoderSettings, "steps_per_block", 0),
        (CoderSettings, "steps_per_rho_index", -1),
        (CoderSettings, "order", "random"),
        (SearchSettings, "n_beams", 0),
        (SearchSettings, "negligible_kl_fraction", 1.0),
    ],
)
@pytest.mark.usefixtures("no_type_checks")
def test_settings_out_of_range_are_named(kind, name, value):
    with pytest.raises(InvalidParameterError, match=name):
        kind(**{name: value})


@pytest.mark.parametrize("effort", [0, 10])
def test_efforts_out_of_range_are_named(effort):
    with pytest.raises(InvalidParameterError, match=f"effort must be from 1 to 9, not {effort}"):
        SearchSettings.from_effort(effort)


def test_integers_of_numpy_become_pythons():
    assert whole_number(np.uint8(200), "tensor") * 16 == 3200


def test_independent_dimensions_of_a_normal_are_taken():
    normal = Normal(torch.zeros(2, 3), torch.ones(2, 3))
    assert as_normal(Independent(Independent(normal, 1), 1), "prior") is normal


def test_other_distributions_are_refused():
    with pytest.raises(InvalidParameterError, match="posterior must be a Normal, not a Cauchy"):
        as_normal(Cauchy(torch.zeros(2), torch.ones(2)), "posterior")


@pytest.mark.parametrize("dtype", [torch.complex64, torch.int64, torch.float8_e4m3fn])
def test_other_numbers_are_refused(dtype):
    ones = torch.ones(3).to(dtype)
    with pytest.raises(InvalidParameterError, match="prior must hold real numbers, not torch"):
        as_normal(Normal(ones, ones, validate_args=False), "prior")
