import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from irec.codec import make_codec
from irec.codec.export import export_checkpoint
from irec.datamodules.image_folder import ImageFolderDataModule
from irec.datamodules.mixed import MixedDataModule
from irec.errors import InvalidParameterError
from irec.lightning_modules.lattice_rvae import LatticeRVAEModule
from irec.models.zoo import load_checkpoint
from tests.lightning_modules.test_rvae_module import trainer
from tests.pictures import picture


@pytest.fixture
def data(tmp_path):
    np.save(tmp_path / "large.npy", np.stack([picture(32, 32, 3, seed) for seed in range(12)]))
    np.save(tmp_path / "small.npy", np.stack([picture(16, 16, 3, seed) for seed in range(12)]))
    return MixedDataModule(
        [
            ImageFolderDataModule(train=[source], val=[source], crop_size=side, batch_size=4)
            for source, side in (
                (str(tmp_path / "large.npy"), 32),
                (str(tmp_path / "small.npy"), 16),
            )
        ]
    )


def tiny_module(**changes):
    sizes = {"channels": 8, "n_components": 2, "blocks_per_level": [1, 1], "grey_share": 0.0}
    return LatticeRVAEModule(**{**sizes, **changes})


def test_training_lowers_the_bits_of_both_sets(tmp_path, data):
    module = tiny_module(latent_levels=[2], latent_channels=2, learning_rate=2e-2)
    run = trainer(tmp_path, max_epochs=1)
    run.fit(module, datamodule=data)
    first = run.callback_metrics["val/bpd"].item()
    levels = sum(value for name, value in run.callback_metrics.items() if "bpd_of" in name)
    assert levels > 0
    run = trainer(tmp_path, max_epochs=8)
    run.fit(module, datamodule=data)
    assert run.callback_metrics["val/bpd"].item() < first - 0.05


def test_learning_rate_falls_to_zero_at_the_end(tmp_path, data):
    module = tiny_module(decay_share=0.5)
    run = trainer(tmp_path, max_steps=6, limit_val_batches=0)
    run.fit(module, datamodule=data)
    assert run.optimizers[0].param_groups[0]["lr"] == 0.0


def test_grey_batches_cost_one_channel():
    module = tiny_module()
    grey = torch.from_numpy(picture(32, 32, 1)).permute(2, 0, 1)[None].expand(2, 3, -1, -1)
    with torch.no_grad():
        as_grey = module.terms(grey, is_grey=True)
        as_colour = module.terms(grey)
    # Per dimension: the other channels of grey images in colour tell nothing.
    assert as_grey.nll.mean() > as_colour.nll.mean()
    torch.testing.assert_close(sum(as_grey.levels), as_grey.nll)


def test_a_run_becomes_a_checkpoint_that_compresses(tmp_path, data):
    saving = ModelCheckpoint(tmp_path / "run", save_last=True)
    module = tiny_module(latent_levels=[1], latent_channels=2)
    trainer(tmp_path, max_steps=2, callbacks=[saving]).fit(module, datamodule=data)
    images = [picture(128, 128, 3)]
    export_checkpoint(tmp_path / "run" / "last.ckpt", tmp_path / "exported", images)
    codec = make_codec(load_checkpoint(tmp_path / "exported"))
    image = picture(20, 30, 3)
    assert np.array_equal(codec.decode(codec.encode(image).data), image)


def test_pictures_are_images():
    module = tiny_module()
    images = torch.from_numpy(picture(16, 20, 3)).permute(2, 0, 1)[None]
    assert module.reconstruct(images).shape == images.shape
    # What is expected lies near what is there.
    assert (module.reconstruct(images).float() - images.float()).abs().mean() < 30
    assert module.sample(2, 16, 20).shape == (2, 3, 16, 20)


@pytest.mark.parametrize("name", ["decay_share", "grey_share"])
def test_shares_are_shares(name):
    with pytest.raises(InvalidParameterError, match="0 to 1"):
        tiny_module(**{name: 1.5})
