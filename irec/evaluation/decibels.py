"""MS-SSIM on a scale that separates good images."""

import math


def as_decibels(ms_ssim: float | None) -> float | None:
    """-10 log10(1 - MS-SSIM), in dB; None where there is no MS-SSIM, infinity for 1."""
    if ms_ssim is None:
        return None
    return math.inf if ms_ssim >= 1.0 else -10.0 * math.log10(1.0 - ms_ssim)
