"""What only a GPU can show: `pytest -m gpu`."""

import numpy as np
import pytest
import torch

from irec.codec import make_codec
from irec.models.zoo import load_checkpoint
from tests.lightning_modules.test_rvae_module import tiny_module, trainer
from tests.lightning_modules.test_training import data  # noqa: F401
from tests.pictures import picture

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU"),
]


@pytest.mark.parametrize(("there", "back"), [("cuda", "cpu"), ("cpu", "cuda"), ("cuda", "cuda")])
def test_lossless_files_decode_on_any_device(tiny_checkpoint, there, back):
    checkpoint, image = load_checkpoint(tiny_checkpoint), picture(70, 90, 3)
    encoded = make_codec(checkpoint, effort=1, device=there).encode(image)
    assert np.array_equal(make_codec(checkpoint, device=back).decode(encoded.data), image)


def test_lossy_files_decode_to_nearly_the_same_on_any_device(tiny_lossy_checkpoint):
    checkpoint, image = load_checkpoint(tiny_lossy_checkpoint), picture(70, 90, 3)
    encoded = make_codec(checkpoint, effort=1, device="cuda").encode(image)
    decoded = make_codec(checkpoint, device="cpu").decode(encoded.data)
    assert np.abs(decoded.astype(int) - encoded.pixels).max() <= 1


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_training_runs(tmp_path, data, precision):  # noqa: F811
    run = trainer(tmp_path, max_epochs=2, accelerator="gpu", devices=1, precision=precision)
    run.fit(tiny_module(), datamodule=data)
    assert run.callback_metrics["val/bpd"].isfinite()
