import numpy as np
import pytest
import torch

from irec.codec import lossy_passes
from irec.models.two_level_vae import TwoLevelVAE, TwoLevelVAEConfig
from tests.checkpoints import tiny_transform_vae
from tests.pictures import picture


@pytest.mark.parametrize("kind", ["two_level_vae", "transform_vae"])
def test_cutting_into_windows_changes_nothing(monkeypatch, kind):
    torch.manual_seed(0)
    is_two_level = kind == "two_level_vae"
    model = TwoLevelVAE(TwoLevelVAEConfig(6, 5, 4)) if is_two_level else tiny_transform_vae()
    model = model.eval().double()
    pixels = picture(192, 128, 3, 0).transpose(2, 0, 1)
    anchor_position = torch.zeros(1, dtype=torch.float64)
    latents = torch.randn(1, 5 if is_two_level else 9 + 6, 12, 8, dtype=torch.float64)
    with torch.inference_mode():
        analysed = lossy_passes.analyse(model, pixels, anchor_position)
        image = lossy_passes.render(model, latents, anchor_position)
        # Windows that keep 8x1, 5x3 and 5x8 positions.
        for n_rows in (1, 2, 5):
            monkeypatch.setattr(lossy_passes, "_WINDOW_PIXELS", n_rows * 16 * 128)
            again = lossy_passes.analyse(model, pixels, anchor_position)
            torch.testing.assert_close(again, analysed, rtol=1e-12, atol=1e-12)
            np.testing.assert_array_equal(
                lossy_passes.render(model, latents, anchor_position), image
            )
