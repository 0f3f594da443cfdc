"""What a caller has set in torch and decimal reaches no file, and our draws reach no caller."""

import contextlib
import decimal

import numpy as np
import pytest
import torch

import irec
from irec.codec.api import _decoder, load_codec
from tests.pictures import picture

IMAGE = picture(20, 24, 3)


@contextlib.contextmanager
def default_dtype(dtype):
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


def settings():
    for dtype in (torch.float64, torch.float16, torch.bfloat16):
        yield str(dtype), lambda dtype=dtype: default_dtype(dtype)
    yield "autocast", lambda: torch.autocast("cpu", torch.bfloat16)
    yield "default device", lambda: torch.device("meta")
    yield "decimal", lambda: decimal.localcontext(decimal.Context(prec=6))


SETTINGS = dict(settings())


def forget():
    load_codec.cache_clear()
    _decoder.cache_clear()


def compress(checkpoint, lossy):
    options = {"quality": 50} if lossy else {"model_only": True}
    return irec.compress(IMAGE, lossy=lossy, checkpoint=str(checkpoint), effort=1, **options)


@pytest.mark.parametrize("lossy", [False, True])
@pytest.mark.parametrize("name", SETTINGS)
def test_files_do_not_depend_on_a_callers_settings(
    tiny_checkpoint, tiny_lossy_checkpoint, name, lossy
):
    checkpoint = tiny_lossy_checkpoint if lossy else tiny_checkpoint
    forget()
    expected = compress(checkpoint, lossy)
    pixels = irec.decompress(expected, checkpoint=str(checkpoint))
    forget()
    with SETTINGS[name]():
        assert compress(checkpoint, lossy) == expected
        decoded = irec.decompress(expected, checkpoint=str(checkpoint))
    np.testing.assert_array_equal(decoded, pixels)
    # Neither does what was built meanwhile, and is kept.
    assert compress(checkpoint, lossy) == expected


def test_a_callers_settings_are_left_as_they_are(tiny_checkpoint):
    with default_dtype(torch.float64), torch.autocast("cpu", torch.bfloat16):
        compress(tiny_checkpoint, lossy=False)
        assert torch.get_default_dtype() is torch.float64
        assert torch.is_autocast_enabled("cpu")


def test_a_callers_random_numbers_are_not_drawn(tiny_checkpoint):
    forget()
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    compress(tiny_checkpoint, lossy=False)
    assert torch.equal(torch.rand(3), expected)
