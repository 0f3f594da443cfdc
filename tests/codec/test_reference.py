"""The published coder with a whole model: files decode, and are as long as its codes."""

import math

import numpy as np
import pytest

from irec.codec.reference import ReferenceCodec
from irec.coding.faithful import FaithfulSettings, Sampler
from irec.errors import BitstreamError, CheckpointError, InvalidParameterError
from irec.measuring.compression import CoderOptions
from irec.models.zoo import load_checkpoint
from tests.pictures import picture

SETTINGS = {"kl_per_step_nats": 2.0, "n_beams": 3, "block_size": 100}


@pytest.mark.parametrize("sampler", list(Sampler))
@pytest.mark.parametrize("size", [(8, 8, 3), (5, 7, 4), (3, 5, 1)])
def test_files_give_every_pixel_back(tiny_checkpoint, sampler, size):
    settings = FaithfulSettings(sampler=sampler, max_trials=1 << 8, **SETTINGS)
    codec = ReferenceCodec(load_checkpoint(tiny_checkpoint), settings)
    image = picture(*size)
    encoded = codec.encode(image)
    assert np.array_equal(codec.decode(encoded.data), image)
    parts = encoded.index_bits + encoded.residual_bits + encoded.side_bits
    assert parts == encoded.file_bits == 8 * len(encoded.data)
    assert encoded.side_bits > 0


def test_indices_take_what_the_paper_counts(tiny_checkpoint):
    settings = FaithfulSettings(**SETTINGS)
    codec = ReferenceCodec(load_checkpoint(tiny_checkpoint), settings)
    encoded = codec.encode(picture(8, 8, 3))
    (tile,) = codec.unpack(encoded.data).tiles
    nats = sum(code.n_nats(settings) for code in tile.tensors)
    assert encoded.index_bits == math.ceil(nats / math.log(2.0))


def test_something_else_is_refused(tiny_checkpoint, tiny_lossy_checkpoint):
    codec = ReferenceCodec(load_checkpoint(tiny_checkpoint), FaithfulSettings(**SETTINGS))
    with pytest.raises(BitstreamError):
        codec.decode(b"hello")
    with pytest.raises(BitstreamError):
        codec.decode(codec.encode(picture(8, 8, 3)).data[:-1])
    with pytest.raises(CheckpointError, match="needs a RVAE"):
        ReferenceCodec(load_checkpoint(tiny_lossy_checkpoint), FaithfulSettings())


def test_predict_options_choose_it(tiny_checkpoint):
    shipped = load_checkpoint(tiny_checkpoint)
    options = CoderOptions(sampler="importance", extra_samples=1.5, kl_per_partition=2.0)
    codec = options.codec(shipped)
    assert codec.settings == FaithfulSettings(2.0, 0.5, sampler=Sampler.IMPORTANCE)
    with pytest.raises(InvalidParameterError, match=r"n_beams needs --coder\.sampler"):
        CoderOptions(n_beams=3).codec(shipped)
