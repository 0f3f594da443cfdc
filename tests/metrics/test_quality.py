import math

import numpy as np
import pytest
import torch
import torch.distributed
import torch.multiprocessing
from scipy.ndimage import correlate1d
from torchmetrics.image import PeakSignalNoiseRatio

from irec.metrics.mean_quality import MeanMsSsim, MeanPSNR
from irec.metrics.quality import MS_SSIM_MIN_SIDE, ms_ssim, psnr_db
from tests.pictures import noise, picture


def degraded(pixels, sigma, seed=0):
    noisy = pixels + np.random.default_rng(seed).normal(0, sigma, pixels.shape)
    return np.clip(np.round(noisy), 0, 255).astype(np.uint8)


def reference_ms_ssim(a, b):
    """Wang et al. 2003 with NumPy and SciPy, written from the paper, window by window."""
    taps = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    taps /= taps.sum()

    def local_mean(x):
        x = correlate1d(correlate1d(x, taps, axis=0), taps, axis=1)
        return x[5:-5, 5:-5]

    def one_channel(x, y):
        value = 1.0
        for scale, weight in enumerate([0.0448, 0.2856, 0.3001, 0.2363, 0.1333]):
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


@pytest.mark.parametrize("channels", [1, 3])
def test_psnr_of_known_errors(channels):
    image = np.full((5, 7, channels), 100, np.uint8)
    assert psnr_db(image, image) == math.inf
    assert psnr_db(image, image + 1) == pytest.approx(20 * math.log10(255))
    # uint8 must not wrap around: 100 - 110 is -10.
    assert psnr_db(image, image + 10) == pytest.approx(20 * math.log10(25.5))
    one_wrong = image.copy()
    one_wrong[0, 0, 0] += 50
    assert psnr_db(one_wrong, image) == pytest.approx(10 * math.log10(255**2 / (2500 / image.size)))


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
    assert psnr_db(*flipped) == pytest.approx(psnr_db(image, other))
    assert ms_ssim(*flipped) is not None


def as_batch(*images):
    return torch.from_numpy(np.stack(images).transpose(0, 3, 1, 2).copy())


def test_mean_psnr_is_the_mean_of_images_and_not_of_errors():
    images = [noise(8, 9, 3, seed=seed) for seed in range(4)]
    others = [degraded(image, sigma) for image, sigma in zip(images, [1, 5, 20, 80], strict=True)]
    metric = MeanPSNR()
    metric.update(as_batch(*others[:3]), as_batch(*images[:3]))
    metric.update(as_batch(others[3]), as_batch(images[3]))
    expected = np.mean([psnr_db(*pair) for pair in zip(images, others, strict=True)])
    assert metric.compute().item() == pytest.approx(expected, rel=1e-12)
    theirs = PeakSignalNoiseRatio(data_range=255.0, dim=(1, 2, 3), reduction="elementwise_mean")
    theirs.update(as_batch(*others).float(), as_batch(*images).float())
    assert metric.compute().item() == pytest.approx(theirs.compute().item(), rel=1e-5)


def test_mean_ms_ssim_leaves_small_images_out():
    images = [picture(161, 170, 3, seed=seed) for seed in range(2)]
    others = [degraded(image, sigma) for image, sigma in zip(images, [10, 40], strict=True)]
    metric = MeanMsSsim()
    metric.update(as_batch(*others), as_batch(*images))
    small = as_batch(noise(32, 32, 3))
    metric.update(small, 255 - small)
    expected = np.mean([ms_ssim(*pair) for pair in zip(images, others, strict=True)])
    assert metric.compute().item() == pytest.approx(expected, rel=1e-9)
    assert int(metric.n_images) == 2


def _rank(rank, rendezvous, results):
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=2
    )
    psnr, similarity = MeanPSNR(), MeanMsSsim()
    # Uneven shards.
    for seed in range(rank, 3, 2):
        image = as_batch(picture(161, 161, 1, seed=seed))
        for metric in (psnr, similarity):
            metric.update(image // 2, image)
    torch.save((psnr.compute(), similarity.compute()), f"{results}{rank}")
    torch.distributed.destroy_process_group()


@pytest.mark.ddp
def test_two_processes_agree_with_one(tmp_path):
    torch.multiprocessing.spawn(
        _rank, args=(str(tmp_path / "rendezvous"), str(tmp_path / "value")), nprocs=2
    )
    images = [picture(161, 161, 1, seed=seed) for seed in range(3)]
    for rank in range(2):
        psnr, similarity = torch.load(tmp_path / f"value{rank}")
        assert psnr.item() == pytest.approx(np.mean([psnr_db(x // 2, x) for x in images]))
        assert similarity.item() == pytest.approx(np.mean([ms_ssim(x // 2, x) for x in images]))
