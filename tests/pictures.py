"""Images made on the spot, for tests that need some."""

import numpy as np


def picture(height, width, channels, seed=0):
    """A smooth gradient with noise: not uniform, not flat."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width]
    base = 90 + 60 * np.sin(rows / 7 + seed) + 40 * np.cos(columns / 5)
    noisy = base[:, :, None] + rng.normal(0, 8, (height, width, channels))
    return np.clip(noisy, 0, 255).astype(np.uint8)


def noise(*shape, seed=0):
    """Uniform uint8 noise of any shape: nothing that a codec does to it goes unseen."""
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
