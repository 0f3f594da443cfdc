import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from irec.codec.lattice import LatticeCodec
from irec.codec.tiles import tiles_of
from irec.errors import BitstreamError, InvalidParameterError
from irec.models.zoo import load_checkpoint
from tests.checkpoints import write_lattice_checkpoint
from tests.pictures import noise, picture


@pytest.fixture(scope="module")
def codec(tmp_path_factory):
    folder = write_lattice_checkpoint(tmp_path_factory.mktemp("checkpoints") / "lattice")
    return LatticeCodec(load_checkpoint(folder), effort=1, verify=False)


@pytest.fixture(scope="module")
def codec_without_latents(tmp_path_factory):
    folder = write_lattice_checkpoint(tmp_path_factory.mktemp("checkpoints") / "plain", ())
    return LatticeCodec(load_checkpoint(folder), verify=False)


@given(
    height=st.integers(1, 24),
    width=st.integers(1, 24),
    channels=st.integers(1, 4),
    seed=st.integers(0, 100),
    is_noise=st.booleans(),
)
@settings(max_examples=8, suppress_health_check=[HealthCheck.too_slow])
def test_any_image_comes_back(
    codec, codec_without_latents, height, width, channels, seed, is_noise
):
    image = picture(height, width, channels, seed)
    if is_noise:
        image = noise(height, width, channels, seed=seed)
    for one in (codec, codec_without_latents):
        encoded = one.encode(image)
        assert sum(encoded.sizes.values()) == encoded.file_bits
        assert np.array_equal(one.decode(encoded.data), image)


@pytest.mark.parametrize("value", [0, 1, 255])
def test_flat_images_take_a_few_bytes(codec_without_latents, value):
    image = np.full((40, 40, 3), value, np.uint8)
    data = codec_without_latents.encode(image).data
    assert np.array_equal(codec_without_latents.decode(data), image)
    assert len(data) < 1000


def test_images_of_several_tiles_come_back(codec_without_latents, monkeypatch):
    monkeypatch.setattr("irec.codec.base.tiles_of", lambda h, w, s, _: tiles_of(h, w, s, 16))
    image = picture(37, 20, 3)
    decoded = codec_without_latents.decode(codec_without_latents.encode(image).data)
    assert np.array_equal(decoded, image)


@pytest.mark.parametrize("threads", [1, 2])
def test_files_do_not_depend_on_threads(codec, threads):
    image = picture(33, 50, 3)
    before = torch.get_num_threads()
    expected = codec.encode(image).data
    try:
        torch.set_num_threads(threads)
        assert codec.encode(image).data == expected
        assert np.array_equal(codec.decode(expected), image)
    finally:
        torch.set_num_threads(before)


def test_files_are_as_long_as_the_model_says(codec_without_latents):
    image = picture(64, 64, 3)
    encoded = codec_without_latents.encode(image)
    ideal = codec_without_latents.ideal(image)
    assert ideal.kl_bits == 0.0
    overhead = encoded.residual_bits / ideal.likelihood_bits - 1.0
    assert abs(overhead) < 0.003


def test_images_unlike_those_of_training_are_calibrated(codec_without_latents, monkeypatch):
    rng = np.random.default_rng(0)
    grain = rng.normal(0.0, 4.0, (64, 64, 3))
    image = (picture(64, 64, 3) + grain).round().clip(0, 255).astype(np.uint8)
    encoded = codec_without_latents.encode(image)
    assert np.array_equal(codec_without_latents.decode(encoded.data), image)
    # Neither is rounded to the grids in the ideal, nor are the calibrations counted.
    ideal = codec_without_latents.ideal(image).likelihood_bits
    assert ideal < encoded.residual_bits < 1.01 * ideal
    monkeypatch.setattr("irec.codec.lattice.fitted_calibration", lambda _p, _n, _g, before: before)
    plain = codec_without_latents.encode(image)
    assert np.array_equal(codec_without_latents.decode(plain.data), image)
    assert encoded.residual_bits < 0.97 * plain.residual_bits


def test_the_ideal_of_a_file_takes_its_calibrations(codec, codec_without_latents, monkeypatch):
    image = picture(40, 40, 3)
    plain, with_latents = (one.encode(image) for one in (codec_without_latents, codec))
    ideal = codec_without_latents.ideal(image)

    def refuse(*_):
        raise AssertionError("fitted again")

    monkeypatch.setattr("irec.codec.lattice.fitted_calibration", refuse)
    assert codec_without_latents.ideal(image, encoded=plain) == ideal
    # Latents of its own, so that only the calibrations are those of the file.
    found = codec.ideal(image, n_samples=2, encoded=with_latents)
    assert 0.0 < found.kl_bits < found.total_bits
    with pytest.raises(AssertionError, match="again"):
        codec_without_latents.ideal(image)


def test_latents_are_counted(codec):
    image = picture(64, 64, 3)
    ideal = codec.ideal(image, n_samples=2)
    assert ideal.kl_bits > 0
    assert ideal == codec.ideal(image, n_samples=2)
    assert codec.encode(image).index_bits > 0


@pytest.fixture(scope="module")
def good(codec):
    return codec.encode(picture(12, 10, 3)).data


@settings(max_examples=20)
@given(data=st.data())
def test_damaged_files_end_in_typed_errors(codec, good, data):
    damaged = bytearray(good)
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(good) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(BitstreamError):
        codec.decode(bytes(damaged) if bytes(damaged) != good else good[:-1])


def test_cut_files_are_refused(codec, good):
    for length in range(0, len(good), 7):
        with pytest.raises(BitstreamError):
            codec.decode(good[:length])
    with pytest.raises(BitstreamError):
        codec.decode(good + b"\0")


def test_lossless_models_take_no_quality(codec):
    with pytest.raises(InvalidParameterError, match="lossless"):
        codec.encode(picture(4, 4, 3), quality=50.0)


@pytest.mark.parametrize("channels", [3, 4])
def test_grey_pictures_in_colour_form_cost_as_little_as_grey_ones(codec_without_latents, channels):
    grey = picture(24, 20, 1)
    image = np.concatenate([np.repeat(grey, 3, axis=2), picture(24, 20, 1, seed=1)], axis=2)
    image = image[:, :, :channels]
    data = codec_without_latents.encode(image).data
    assert np.array_equal(codec_without_latents.decode(data), image)
    without_alpha = codec_without_latents.encode(image[:, :, :3]).data
    assert len(without_alpha) == len(codec_without_latents.encode(grey).data)
