import pytest
import torch
from torch.nn import functional

from irec.errors import DataError
from irec.models.block_transform import block_components


def batches(n=3):
    """Smooth pictures, so that a few components hold nearly everything."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(n):
        small = torch.rand(8, 3, 6, 6, generator=generator)
        yield (
            255 * functional.interpolate(small, size=(48, 48), mode="bicubic").clamp(0, 1)
        ).byte()


def test_components_are_orthonormal_and_fall_in_variance():
    found = block_components(batches(), 4)
    torch.testing.assert_close(found.vectors.T @ found.vectors, torch.eye(48), atol=1e-5, rtol=0)
    assert (found.variances.diff() <= 0).all()
    assert (found.variances > 0).all()


def test_coefficients_have_the_variances_and_no_correlation():
    found = block_components(batches(), 4)
    crops = [
        b[:, :, p:, p:][:, :, : (48 - p) // 4 * 4, : (48 - p) // 4 * 4]
        for b in batches()
        for p in (0, 5)
    ]
    blocks = [functional.pixel_unshuffle(c.double() / 255 - 0.5, 4) for c in crops]
    rows = torch.cat([b.permute(0, 2, 3, 1).reshape(-1, 48) for b in blocks])
    coefficients = (rows - found.mean.double()) @ found.vectors.double()
    covariance = torch.cov(coefficients.T, correction=0)
    expected = torch.diag(found.variances.double())
    torch.testing.assert_close(covariance, expected, atol=1e-5, rtol=1e-3)


def test_few_blocks_leave_positive_variances():
    crops = torch.randint(0, 256, (1, 3, 32, 32), dtype=torch.uint8)
    assert (block_components([crops], 16).variances > 0).all()
    with pytest.raises(DataError, match="no training image holds a block"):
        block_components([crops[:, :, :10]], 16)
