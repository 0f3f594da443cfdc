from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from irec.bitstream import read_header
from irec.bitstream.profile import PROFILES
from irec.codec import LosslessCodec
from irec.errors import (
    BitstreamError,
    InvalidParameterError,
    IrecError,
    ModelMismatchError,
    UnsupportedImageError,
)
from irec.models.zoo import load_checkpoint
from tests.checkpoints import write_checkpoint
from tests.pictures import picture


@pytest.fixture(scope="module")
def codec(checkpoint):
    return LosslessCodec(checkpoint, effort=1, verify=False)


@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    channels=st.integers(1, 4),
    seed=st.integers(0, 100),
    is_noise=st.booleans(),
)
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
def test_any_image_comes_back(codec, height, width, channels, seed, is_noise):
    image = picture(height, width, channels, seed)
    if is_noise:
        image = np.random.default_rng(seed).integers(0, 256, image.shape, dtype=np.uint8)
    encoded = codec.encode(image)
    assert np.array_equal(codec.decode(encoded.data), image)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (31, 17), (33, 65)])
@pytest.mark.parametrize("value", [0, 1, 255])
def test_flat_images_come_back(codec, shape, value):
    image = np.full((*shape, 3), value, np.uint8)
    assert np.array_equal(codec.decode(codec.encode(image).data), image)


@pytest.mark.parametrize("likelihood", ["logistic", "conditional_logistic"])
def test_both_likelihoods_code(tmp_path, likelihood):
    codec = LosslessCodec(
        load_checkpoint(write_checkpoint(tmp_path / likelihood, likelihood)), effort=1
    )
    image = picture(20, 24, 3)
    assert np.array_equal(codec.decode(codec.encode(image).data), image)


def test_images_of_several_tiles_come_back(codec, monkeypatch):
    monkeypatch.setattr(codec, "profile", replace(codec.profile, max_tile_side=16))
    monkeypatch.setitem(PROFILES, codec.profile.number, codec.profile)
    image = picture(37, 50, 4)
    encoded = codec.encode(image)
    assert len(codec.unpack(encoded.data).tiles) == 3 * 4
    assert np.array_equal(codec.decode(encoded.data), image)


def test_files_of_a_batch_decode_one_by_one(codec):
    images = [picture(32, 32, 3, seed) for seed in range(16)]
    for image, encoded in zip(images, codec.encode_batch(images), strict=True):
        assert np.array_equal(codec.decode(encoded.data), image)


def test_images_of_different_kinds_share_a_batch(codec):
    images = [picture(8, 8, c, c) for c in (3, 1, 4, 2)] + [picture(9, 31, 3), picture(8, 8, 3)]
    for image, encoded in zip(images, codec.encode_batch(images), strict=True):
        assert np.array_equal(codec.decode(encoded.data), image)


@pytest.mark.parametrize("n_threads", [1, 2])
def test_number_of_threads_does_not_matter(codec, n_threads):
    image = picture(48, 48, 3)
    data = codec.encode(image).data
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        assert np.array_equal(codec.decode(data), image)
    finally:
        torch.set_num_threads(before)


def test_drift_within_the_bound_changes_nothing(codec):
    """What another machine's arithmetic does to float64, exaggerated a hundredfold."""
    image = picture(32, 32, 3)
    data = codec.encode(image).data
    drifting = LosslessCodec(codec.checkpoint, effort=1)
    generator = torch.Generator().manual_seed(0)

    def disturb(module, inputs, output):
        noise = torch.randn(output.shape, generator=generator, dtype=torch.float64)
        return output + 1e-15 * noise

    for layer in (drifting._model.last, *(block.down_out for block in drifting._model.blocks)):
        layer.register_forward_hook(disturb)
    assert np.array_equal(drifting.decode(data), image)


def test_drift_beyond_the_bound_is_an_error_and_never_a_wrong_image(codec):
    image = picture(32, 32, 3)
    data = codec.encode(image).data
    drifting = LosslessCodec(codec.checkpoint, effort=1)
    drifting._model.last.register_forward_hook(lambda module, inputs, output: output + 1e-3)
    with pytest.raises(BitstreamError):
        drifting.decode(data)


def test_sections_sum_to_the_file(codec):
    encoded = codec.encode(picture(32, 32, 4))
    assert sum(encoded.sizes.values()) == encoded.file_bits
    assert encoded.index_bits + encoded.residual_bits + encoded.side_bits == encoded.file_bits
    assert encoded.index_bits > 0
    assert encoded.residual_bits > 0


def test_overhead_of_a_small_image_is_at_most_twenty_bytes(codec):
    for seed in range(8):
        assert codec.encode(picture(32, 32, 3, seed)).side_bits <= 160


def test_seed_stands_in_the_file(checkpoint):
    image = picture(16, 16, 3)
    codec = LosslessCodec(checkpoint, effort=1, seed=12345)
    data = codec.encode(image).data
    assert read_header(data).seed == 12345
    assert np.array_equal(LosslessCodec(checkpoint).decode(data), image)


def test_ideal_bits_are_close_to_the_file(codec):
    images = [picture(32, 32, 3, seed) for seed in range(4)]
    files = sum(encoded.file_bits for encoded in codec.encode_batch(images))
    ideal = sum(bits.total_bits for bits in codec.ideal_batch(images, n_samples=4))
    assert 0.97 * ideal < files < 1.2 * ideal


def test_ideal_bits_of_grey_count_one_channel(codec):
    grey = picture(16, 16, 1)
    as_rgb = np.repeat(grey, 3, axis=2)
    one, three = codec.ideal(grey), codec.ideal(as_rgb)
    assert one == three
    almost = as_rgb.copy()
    almost[0, 0, 2] ^= 1
    assert one.likelihood_bits < codec.ideal(almost).likelihood_bits


def test_another_model_is_named(codec, tmp_path):
    other = LosslessCodec(load_checkpoint(write_checkpoint(tmp_path / "other", seed=1)))
    data = codec.encode(picture(8, 8, 3)).data
    with pytest.raises(ModelMismatchError, match=codec.checkpoint.fingerprint.hex()):
        other.decode(data)


def test_every_truncation_is_an_error(codec):
    data = codec.encode(picture(6, 6, 3)).data
    for length in range(len(data)):
        with pytest.raises(BitstreamError):
            codec.decode(data[:length])


def test_every_flipped_byte_is_an_error(codec):
    image = picture(6, 6, 3)
    data = codec.encode(image).data
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 0x55
        with pytest.raises(BitstreamError):
            codec.decode(bytes(damaged))


def test_bytes_after_the_end_are_an_error(codec):
    data = codec.encode(picture(6, 6, 3)).data
    for rest in (b"\0", data):
        with pytest.raises(BitstreamError, match="follows its end"):
            codec.decode(data + rest)


def test_a_lossless_model_takes_no_quality(codec):
    with pytest.raises(InvalidParameterError, match="takes no quality"):
        codec.encode(picture(6, 6, 3), 50.0)


def test_verification_never_hands_out_a_wrong_file(checkpoint, monkeypatch):
    codec = LosslessCodec(checkpoint, effort=1)
    monkeypatch.setattr(
        LosslessCodec,
        "decode",
        lambda self, data, allow_truncated=False: np.zeros((8, 8, 3), np.uint8),
    )
    with pytest.raises(IrecError, match="other pixels"):
        codec.encode(picture(8, 8, 3))


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4, 3), np.uint16),
        np.zeros((4, 4, 5), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_other_images_are_refused(codec, image):
    with pytest.raises(UnsupportedImageError):
        codec.encode_batch([image])


def test_effort_out_of_range_is_refused(checkpoint):
    with pytest.raises(InvalidParameterError, match="effort"):
        LosslessCodec(checkpoint, effort=10)


def test_global_random_state_stays_as_it_is(codec):
    state = torch.random.get_rng_state()
    codec.ideal(picture(8, 8, 3))
    codec.encode(picture(8, 8, 3))
    assert torch.equal(state, torch.random.get_rng_state())
