import math

import pytest
import torch

from irec.errors import InvalidParameterError
from irec.measuring.compression import CoderOptions
from irec.models.zoo import load_checkpoint


@pytest.fixture
def codec(tiny_lossy_checkpoint):
    return CoderOptions(effort=1).codec(load_checkpoint(tiny_lossy_checkpoint))


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (None, [0.0, 25.0, 50.0, 75.0, 100.0]),
        ([100.0, 0.0], [100.0, 0.0]),
        ([33.3, 33.5, 33.6, 0.0], [33.5, 0.0]),
    ],
)
def test_qualities_are_those_that_files_will_have(codec, asked, expected):
    assert list(CoderOptions(qualities=asked).qualities_for(codec)) == expected


@pytest.mark.parametrize(
    ("asked", "message"),
    [([], "empty"), ([50.0, 101.0], "0 to 100"), ([math.nan], "0 to 100"), ([-1.0], "0 to 100")],
)
def test_impossible_qualities_are_refused(codec, asked, message):
    with pytest.raises(InvalidParameterError, match=message):
        CoderOptions(qualities=asked).qualities_for(codec)


def test_a_model_of_one_rate_has_no_qualities(tiny_checkpoint):
    codec = CoderOptions(effort=1).codec(load_checkpoint(tiny_checkpoint))
    assert list(CoderOptions().qualities_for(codec)) == [None]
    with pytest.raises(InvalidParameterError, match="several qualities"):
        CoderOptions(qualities=[50.0]).qualities_for(codec)


def test_refinement_is_for_lossy_models(tiny_checkpoint):
    with pytest.raises(InvalidParameterError, match="lossy"):
        CoderOptions(refinement_steps=2).codec(load_checkpoint(tiny_checkpoint))


def test_a_device_without_float64_is_passed_over(tiny_checkpoint):
    codec = CoderOptions(effort=1).codec(load_checkpoint(tiny_checkpoint), torch.device("mps"))
    assert codec.device.type == "cpu"
