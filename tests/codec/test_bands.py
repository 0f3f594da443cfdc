import numpy as np
import torch

from irec.codec import bands
from irec.models.two_level_vae import TwoLevelVAE, TwoLevelVAEConfig
from tests.pictures import picture


def test_cutting_into_bands_changes_nothing(monkeypatch):
    torch.manual_seed(0)
    model = TwoLevelVAE(TwoLevelVAEConfig(6, 5, 4)).eval().double()
    pixels = picture(192, 128, 3, 0).transpose(2, 0, 1)
    position = torch.zeros(1, dtype=torch.float64)
    z1 = torch.randn(1, 5, 12, 8, dtype=torch.float64)
    with torch.inference_mode():
        whole = [*bands.analyse(model, pixels, position), bands.render(model, z1, position)]
        # Bands of one, two and five rows of z1.
        for n_rows in (1, 2, 5):
            monkeypatch.setattr(bands, "_BAND_PIXELS", n_rows * 16 * 128)
            for one, other in zip(bands.analyse(model, pixels, position), whole, strict=False):
                torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
            np.testing.assert_array_equal(bands.render(model, z1, position), whole[2])
