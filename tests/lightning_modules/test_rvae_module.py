import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint

from irec.callbacks.training import RunCheckpoint
from irec.codec.export import export_checkpoint
from irec.datamodules.image_folder import ImageFolderDataModule
from irec.datamodules.mixed import MixedDataModule
from irec.errors import CheckpointError
from irec.lightning_modules.rvae import RVAEModule
from irec.models.weight_norm import is_initialised
from irec.models.zoo import load_checkpoint
from tests.pictures import picture


@pytest.fixture
def data(tmp_path):
    np.save(tmp_path / "images.npy", np.stack([picture(32, 32, 3, seed) for seed in range(24)]))
    source = [str(tmp_path / "images.npy")]
    return ImageFolderDataModule(train=source, val=source, predict=source, batch_size=8)


def tiny_module(**changes):
    sizes = {"n_blocks": 2, "hidden_channels": 8, "latent_channels": 2}
    return RVAEModule(**{**sizes, "likelihood": "conditional_logistic", **changes})


def trainer(folder, **changes):
    quiet = {
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "logger": False,
        "accelerator": "cpu",
        "enable_checkpointing": any(
            isinstance(callback, ModelCheckpoint) for callback in changes.get("callbacks", [])
        ),
    }
    return Trainer(default_root_dir=folder, **{**quiet, **changes})


def test_training_lowers_the_bound_and_starts_from_data(tmp_path, data):
    module = tiny_module(learning_rate=5e-3)
    run = trainer(tmp_path, max_epochs=1)
    run.fit(module, datamodule=data)
    assert is_initialised(module.model)
    first = run.callback_metrics["val/bpd"].item()
    trainer(tmp_path, max_epochs=20).fit(module, datamodule=data)
    last = trainer(tmp_path).validate(module, datamodule=data, verbose=False)[0]["val/bpd"]
    assert last < first - 0.5


def test_loss_counts_each_latent_channel_at_least_the_free_bits(data):
    module = tiny_module(free_bits_nats=1000.0)
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    with torch.no_grad():
        torch.manual_seed(0)
        loss = module.training_step(batch, 0)
        torch.manual_seed(0)
        distortion, kl_nats, _ = module._terms(batch)
    assert max(kl.mean(0).max() for kl in kl_nats) < 1000.0
    torch.testing.assert_close(loss, distortion.mean() + 2 * 2 * 1000.0)


def test_learning_rate_falls_at_the_milestones(tmp_path, data):
    module = tiny_module(learning_rate=1e-3, milestones=[2, 4], decay=0.5)
    run = trainer(tmp_path, max_steps=5)
    run.fit(module, datamodule=data)
    assert run.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.25e-3)


def test_a_run_becomes_a_checkpoint_with_the_averaged_weights(tmp_path, data):
    average = EMAWeightAveraging(decay=0.5, use_buffers=False)
    saving = ModelCheckpoint(tmp_path / "run", save_last=True)
    module = tiny_module()
    trainer(tmp_path, max_epochs=2, callbacks=[average, saving]).fit(module, datamodule=data)
    images = [picture(32, 32, 3, seed) for seed in range(4)]
    export_checkpoint(tmp_path / "run" / "last.ckpt", tmp_path / "exported", images)
    shipped = load_checkpoint(tmp_path / "exported")
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float()

    def mean_source(prior, posterior, tensor):
        return posterior.loc

    with torch.no_grad():
        # on_train_end leaves the averaged weights in the module.
        expected = module.model(pixels, mean_source).mean
        found = shipped.model(pixels, mean_source).mean
    torch.testing.assert_close(found, expected, atol=0.5, rtol=0)
    assert len(shipped.coding.usual_steps) == 2


def test_a_module_started_from_a_checkpoint_has_its_size_and_weights(tmp_path, tiny_checkpoint):
    module = RVAEModule(checkpoint=str(tiny_checkpoint))
    assert module.hparams["n_blocks"] == 3
    shipped = load_checkpoint(tiny_checkpoint).model
    assert torch.equal(module.model.top, shipped.top)
    trained = {name for name, value in module.named_parameters() if value.requires_grad}
    assert len(trained) > len(shipped.state_dict()) / 2


def test_every_parameter_that_is_trained_has_a_gradient(data):
    """Otherwise plain DDP stops with an error."""
    module = tiny_module()
    data.setup("fit")
    module.training_step(next(iter(data.train_dataloader())), 0).backward()
    for name, value in module.named_parameters():
        assert (value.grad is not None) == value.requires_grad, name


def test_a_run_that_ends_inside_an_epoch_is_saved(tmp_path, data):
    saving = RunCheckpoint(str(tmp_path / "run"))
    trainer(tmp_path, max_steps=4, callbacks=[saving]).fit(tiny_module(), datamodule=data)
    saved = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)
    assert saved["global_step"] == 4


def test_a_run_is_not_continued_with_another_model(tmp_path, data):
    saving = RunCheckpoint(str(tmp_path / "run"))
    trainer(tmp_path, max_steps=3, callbacks=[saving]).fit(tiny_module(), datamodule=data)
    with pytest.raises(CheckpointError, match="has n_blocks 2, asked for is 3"):
        trainer(tmp_path, max_steps=6, callbacks=[RunCheckpoint(str(tmp_path / "run"))]).fit(
            tiny_module(n_blocks=3), datamodule=data, ckpt_path="last"
        )


def test_a_model_without_exported_weights_compresses_nothing():
    with pytest.raises(CheckpointError, match=r"irec export .*--model\.checkpoint"):
        _ = tiny_module().shipped


def test_export_of_something_else_is_refused(tmp_path):
    (tmp_path / "no.ckpt").write_text("hello")
    with pytest.raises(CheckpointError, match=r"no\.ckpt"):
        export_checkpoint(tmp_path / "no.ckpt", tmp_path / "out", [])
    with pytest.raises(CheckpointError, match="cannot read"):
        export_checkpoint(tmp_path / "absent.ckpt", tmp_path / "out", [])
    assert not (tmp_path / "out").exists()


def test_several_sets_are_validated_each_by_itself(tmp_path, data):
    found = trainer(tmp_path).validate(
        tiny_module(), datamodule=MixedDataModule([data, data]), verbose=False
    )[0]
    both, first, second = (found[f"val/bpd{end}"] for end in ("", "/set_0", "/set_1"))
    assert both == pytest.approx((first + second) / 2)
