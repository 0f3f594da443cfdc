"""Runs of the lossy model: broken off and continued, and turned into checkpoints."""

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import EMAWeightAveraging

from irec.callbacks.training import RunCheckpoint
from irec.codec import LossyCodec
from irec.codec.export import export_checkpoint
from irec.errors import CheckpointError
from irec.models.zoo import load_checkpoint
from tests.lightning_modules.test_two_level_module import data_of, tiny_module, trainer
from tests.pictures import picture


class BreaksOff(Exception):
    pass


class BreakOff(Callback):
    """Ends a run in an epoch, as a kill would."""

    def __init__(self, epoch=2):
        self.epoch = epoch

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        if (trainer.current_epoch, batch_idx) == (self.epoch, 1):
            raise BreaksOff


def fit(folder, data, *more, ckpt_path=None, epochs=3, check_every=1, **options):
    recipe = {"learning_rate": 1e-3, "schedule": "cosine", "warmup_steps": 2, "anneal_steps": 4}
    module = tiny_module(**{**recipe, **options})
    average = EMAWeightAveraging(decay=0.9, use_buffers=False)
    callbacks = [average, RunCheckpoint(str(folder / "run")), *more]
    run = trainer(
        folder,
        max_epochs=epochs,
        check_val_every_n_epoch=check_every,
        callbacks=callbacks,
        enable_checkpointing=True,
    )
    run.fit(module, datamodule=data, ckpt_path=ckpt_path)
    return folder / "run" / "last.ckpt"


def test_a_run_broken_off_ends_with_the_weights_of_an_unbroken_one(tmp_path):
    data = data_of(tmp_path)
    unbroken = torch.load(fit(tmp_path / "unbroken", data), weights_only=True)
    with pytest.raises(BreaksOff):
        fit(tmp_path, data, BreakOff())
    broken = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)
    assert broken["global_step"] == 4
    continued = torch.load(fit(tmp_path, data, ckpt_path="last"), weights_only=True)
    assert continued["global_step"] == unbroken["global_step"] == 6
    for part in ("state_dict", "current_model_state"):
        for name, value in unbroken[part].items():
            assert torch.equal(continued[part][name], value), name
        assert any(
            not torch.equal(broken[part][name], value) for name, value in unbroken[part].items()
        )


def test_a_run_broken_off_between_validations_ends_as_an_unbroken_one(tmp_path):
    data, often = data_of(tmp_path), {"epochs": 5, "check_every": 2}
    unbroken = torch.load(fit(tmp_path / "unbroken", data, **often), weights_only=True)
    with pytest.raises(BreaksOff):
        fit(tmp_path, data, BreakOff(epoch=3), **often)
    continued = torch.load(fit(tmp_path, data, ckpt_path="last", **often), weights_only=True)
    assert continued["global_step"] == unbroken["global_step"] == 10
    for part in ("state_dict", "current_model_state"):
        for name, value in unbroken[part].items():
            assert torch.equal(continued[part][name], value), name


def test_a_run_is_not_continued_with_other_rates(tmp_path):
    data = data_of(tmp_path)
    fit(tmp_path, data)
    with pytest.raises(CheckpointError, match=r"lambdas \[0.001, 0.01, 0.05\], asked for is"):
        fit(tmp_path, data, ckpt_path="last", lambdas=(0.01,))


def test_a_run_becomes_a_checkpoint_with_the_averaged_weights(tmp_path):
    run = fit(tmp_path, data_of(tmp_path))
    export_checkpoint(run, tmp_path / "exported", [picture(192, 192, 3)])
    shipped = load_checkpoint(tmp_path / "exported")
    averaged = torch.load(run, weights_only=True)["state_dict"]
    for name, value in shipped.model.state_dict().items():
        assert torch.equal(value, averaged[f"model.{name}"].half().float()), name
    # Steps and schedule of z2 and of each group of z1's channels, at each of three rates.
    n_numbers = 3 * (1 + len(shipped.coding.channel_groups))
    assert len(shipped.coding.usual_steps) == len(shipped.coding.usual_rho) == n_numbers
    image = picture(64, 64, 3)
    encoded = LossyCodec(shipped, effort=1).encode(image, 100.0)
    assert encoded.pixels.shape == image.shape
