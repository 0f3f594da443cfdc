import numpy as np
import pytest
import torch
from scipy.ndimage import correlate1d
from torch.nn import functional

from irec.metrics.ms_ssim import MS_SSIM_MIN_SIDE, SCALE_WEIGHTS, batch_ms_ssim, ms_ssim
from tests.pictures import noise, picture


def degraded(pixels, sigma, seed=0):
    noisy = pixels + np.random.default_rng(seed).normal(0, sigma, pixels.shape)
    return np.clip(np.round(noisy), 0, 255).astype(np.uint8)


def reference_ms_ssim(a, b, weights=SCALE_WEIGHTS):
    """Wang et al. 2003 with NumPy and SciPy, written from the paper, window by window."""
    taps = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    taps /= taps.sum()

    def local_mean(x):
        x = correlate1d(correlate1d(x, taps, axis=0), taps, axis=1)
        return x[5:-5, 5:-5]

    def one_channel(x, y):
        value = 1.0
        for scale, weight in enumerate(weights):
            mx, my = local_mean(x), local_mean(y)
            vx, vy = local_mean(x**2) - mx**2, local_mean(y**2) - my**2
            cov = local_mean(x * y) - mx * my
            cs = (2 * cov + (0.03 * 255) ** 2) / (vx + vy + (0.03 * 255) ** 2)
            lum = (2 * mx * my + (0.01 * 255) ** 2) / (mx**2 + my**2 + (0.01 * 255) ** 2)
            value *= np.mean(cs * lum if scale == 4 else cs) ** weight
            x, y = halve(x), halve(y)
        return value

    def halve(x):
        x = np.pad(x, [(0, x.shape[0] % 2), (0, x.shape[1] % 2)], mode="edge")
        return (x[::2, ::2] + x[1::2, ::2] + x[::2, 1::2] + x[1::2, 1::2]) / 4

    channels = range(a.shape[2])
    return np.mean(
        [one_channel(a[..., c].astype(float), b[..., c].astype(float)) for c in channels]
    )


@pytest.mark.parametrize(
    ("height", "width", "channels"), [(192, 256, 3), (163, 201, 3), (161, 175, 1)]
)
def test_ms_ssim_is_that_of_the_paper(height, width, channels):
    """Even and odd sides, grey and colour."""
    image = picture(height, width, channels)
    for sigma in (3, 20, 60):
        other = degraded(image, sigma)
        expected = reference_ms_ssim(image, other)
        assert 0.1 < expected < 0.9999
        assert ms_ssim(image, other) == pytest.approx(expected, abs=1e-9)


def test_the_weights_are_those_of_the_paper():
    assert SCALE_WEIGHTS == (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def tensors(*images):
    return [torch.from_numpy(image.transpose(2, 0, 1)[None].copy()).float() for image in images]


def test_exponents_of_one_multiply_the_scales_themselves():
    image = picture(176, 192, 3)
    other, ones = degraded(image, 30), (1.0,) * 5
    found = batch_ms_ssim(*tensors(image, other), ones)
    assert found.item() == pytest.approx(reference_ms_ssim(image, other, ones), rel=1e-3)


def test_above_a_floor_gradients_are_bounded():
    """Where fine structure is inverted so far that its scale is just above zero."""
    random = np.random.default_rng(0)
    coarse = torch.from_numpy(random.uniform(64, 192, (1, 1, 10, 10)))
    coarse = functional.interpolate(coarse, size=(176, 176), mode="bicubic")
    fine = torch.from_numpy(random.uniform(-20, 20, (1, 1, 176, 176)))
    finest_alone = (1.0, 0.0, 0.0, 0.0, 0.0)
    low, high = 0.0, 4.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        is_above = batch_ms_ssim(coarse + fine, coarse - middle * fine, finest_alone).item() > 0.0
        low, high = (middle, high) if is_above else (low, middle)

    def steepest(floor):
        decoded = (coarse - low * fine).requires_grad_()
        found = batch_ms_ssim(coarse + fine, decoded, floor=floor)
        return torch.autograd.grad(found.sum(), decoded)[0].abs().max().item()

    assert steepest(floor=0.0) > 1e3
    assert steepest(floor=1e-4) < 1e-3


def test_ms_ssim_of_pytorch_msssim():
    """Pinned from pytorch-msssim 1.0.0 in float64, which published curves were measured with."""
    image = picture(192, 256, 3)
    assert ms_ssim(image, degraded(image, 20)) == pytest.approx(0.9567315, abs=1e-6)


def test_ms_ssim_lies_between_0_and_1():
    image = picture(176, 176, 3)
    assert ms_ssim(image, image) == pytest.approx(1.0, abs=1e-12)
    assert ms_ssim(image, 255 - image) == 0.0
    flat = np.full((161, 161, 3), 7, np.uint8)
    assert ms_ssim(flat, flat) == pytest.approx(1.0, abs=1e-12)


def test_small_images_have_no_ms_ssim():
    side = MS_SSIM_MIN_SIDE
    assert side == 161
    for height, width in [(side - 1, 300), (300, side - 1), (1, 1)]:
        image = noise(height, width, 3)
        assert ms_ssim(image, image) is None
    image = noise(side, side, 3)
    assert ms_ssim(image, image) is not None


def test_views_and_read_only_arrays_are_taken():
    image = noise(170, 180, 3)
    other = degraded(image, 5)
    image.flags.writeable = False
    flipped = image[::-1, ::-1], other[::-1, ::-1]
    assert ms_ssim(*flipped) is not None
