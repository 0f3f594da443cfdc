"""Weights that are not those of the checkpoint's files code nothing: no verification could tell."""

import numpy as np
import pytest
import torch

import irec
from irec.bitstream import read_header
from irec.codec import make_codec
from irec.codec.api import _decoder, load_codec
from irec.errors import IrecError
from irec.models.zoo import load_checkpoint
from tests.checkpoints import (
    write_checkpoint,
    write_lattice_checkpoint,
    write_lossy_checkpoint,
    write_transform_checkpoint,
)
from tests.pictures import picture

IMAGE = picture(9, 14, 3)


@pytest.fixture(
    scope="module",
    params=[
        write_checkpoint,
        write_lattice_checkpoint,
        write_lossy_checkpoint,
        write_transform_checkpoint,
    ],
)
def folder(request, tmp_path_factory):
    return request.param(tmp_path_factory.mktemp("weights") / "model")


def alter(model, name=None):
    """Add the least that makes another number to one weight."""
    weights = dict(model.named_parameters())
    weight = weights[name or next(iter(weights))]
    with torch.inference_mode(False), torch.no_grad():
        first = weight.view(-1)[:1]
        first.copy_(torch.nextafter(first, first + 1.0))


def test_weights_altered_after_a_first_file_code_no_second(folder):
    codec = make_codec(load_checkpoint(folder), effort=1)
    data = codec.encode(IMAGE).data
    alter(codec._model)
    with pytest.raises(IrecError, match="in memory are not those of its files"):
        codec.encode(IMAGE)
    whole = make_codec(load_checkpoint(folder), effort=1)
    assert whole.encode(IMAGE).data == data


@pytest.mark.parametrize("verify", [False, True])
def test_weights_altered_before_the_first_file_code_none(folder, verify):
    codec = make_codec(load_checkpoint(folder), effort=1, verify=verify)
    alter(codec._model)
    with pytest.raises(IrecError, match="in memory"):
        codec.encode(IMAGE)
    checkpoint = load_checkpoint(folder)
    alter(checkpoint.model)
    with pytest.raises(IrecError, match="in memory"):
        make_codec(checkpoint, effort=1, verify=verify).encode(IMAGE)


def test_the_length_of_a_normalised_weight_counts_too(tiny_checkpoint):
    checkpoint = load_checkpoint(tiny_checkpoint)
    assert checkpoint.is_intact()
    checkpoint.model.last.gain.mul_(1.001)
    assert not checkpoint.is_intact()


def test_a_cached_codec_that_was_altered_neither_codes_nor_decodes_lossy_files(
    tiny_lossy_checkpoint,
):
    options = {"checkpoint": str(tiny_lossy_checkpoint)}
    data = irec.compress(IMAGE, lossy=True, effort=1, **options)
    decoded = irec.decompress(data, **options)
    try:
        for codec in (
            load_codec(options["checkpoint"], lossy=True, effort=1, verify=True, device="cpu"),
            _decoder(read_header(data).fingerprint, options["checkpoint"], "cpu"),
        ):
            alter(codec._model)
        with pytest.raises(IrecError, match="in memory"):
            irec.compress(IMAGE, lossy=True, effort=1, **options)
        with pytest.raises(IrecError, match="in memory"):
            irec.decompress(data, **options)
    finally:
        load_codec.cache_clear()
        _decoder.cache_clear()
    np.testing.assert_array_equal(irec.decompress(data, **options), decoded)
