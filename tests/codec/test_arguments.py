import numpy as np
import pytest
import torch

from irec.codec.arguments import (
    checked_bytes,
    checked_checkpoint,
    checked_device,
    checked_number,
)
from irec.errors import InvalidParameterError


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (lambda: checked_bytes("abc"), "a str, but a file's bytes"),
        (lambda: checked_bytes([1, 2]), "a list"),
        (lambda: checked_number("50", "quality"), "quality is '50', but a number"),
        (lambda: checked_number(True, "target_bpp"), "target_bpp is True"),
        (lambda: checked_checkpoint(5), "checkpoint is 5"),
        (lambda: checked_device("gpu"), "device is 'gpu'; 'cpu' and 'cuda' are known"),
        (lambda: checked_device(None), "device is None"),
        (lambda: checked_device("meta"), "irec computes on 'cpu' or 'cuda'"),
        (lambda: checked_device("cuda:99"), "'cuda:99', but PyTorch finds"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_needed(check, message):
    with pytest.raises(InvalidParameterError, match=message):
        check()


def test_what_is_right_is_taken_in_any_form(tmp_path):
    assert checked_bytes(bytearray(b"ab")) == checked_bytes(memoryview(b"ab")) == b"ab"
    assert checked_number(np.float32(0.5), "quality") == 0.5
    assert checked_number(None, "quality") is None
    assert checked_checkpoint(tmp_path) == str(tmp_path)
    assert checked_device("cpu") == torch.device("cpu")
