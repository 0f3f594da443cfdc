"""What every model shares in training: seeds, figures of sets, ends that are no success."""

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import EMAWeightAveraging

from irec.callbacks.training import AveragedWeights, RunCheckpoint
from irec.datamodules.image_folder import ImageFolderDataModule
from irec.errors import DataError, InvalidParameterError, TrainingError
from tests.lightning_modules.test_rvae_module import tiny_module, trainer
from tests.pictures import picture


@pytest.fixture
def data(tmp_path):
    np.save(tmp_path / "images.npy", np.stack([picture(32, 32, 3, seed) for seed in range(10)]))
    source = [str(tmp_path / "images.npy")]
    return ImageFolderDataModule(train=source, val=source, batch_size=4)


def test_accumulated_batches_draw_noise_of_their_own(tmp_path, data):
    module = tiny_module()
    drawn = []

    original = module._terms

    def recording(images):
        drawn.append(torch.random.get_rng_state())
        return original(images)

    module._terms = recording
    options = {"limit_val_batches": 0, "max_epochs": 1, "num_sanity_val_steps": 0}
    trainer(tmp_path, accumulate_grad_batches=2, **options).fit(module, datamodule=data)
    first, second = drawn
    assert not torch.equal(first, second)


def test_figures_are_those_of_the_set_whatever_its_last_batch(tmp_path, data, monkeypatch):
    """Ten crops in batches of four: the mean over crops, not over batches."""
    # Runs in this process leave their seed behind, on which the noise of evaluation depends.
    monkeypatch.delenv("PL_GLOBAL_SEED", raising=False)
    module = tiny_module()
    found = trainer(tmp_path).validate(module, datamodule=data, verbose=False)[0]["val/bpd"]
    values = []
    for number, batch in enumerate(data.val_dataloader()):
        torch.manual_seed(number)
        with torch.no_grad():
            values.append((float(module.evaluate(batch)["bpd"]), len(batch)))
    assert [n for _, n in values] == [4, 4, 2]
    assert found == pytest.approx(sum(value * n for value, n in values) / 10, rel=1e-4)


def test_a_loss_that_is_no_number_ends_the_run_and_keeps_the_last_good(tmp_path, data):
    class Poison(Callback):
        def on_train_batch_start(self, trainer, module, batch, batch_idx):
            if trainer.current_epoch == 1:
                module.model.top.data.fill_(float("nan"))

    callbacks = [Poison(), RunCheckpoint(str(tmp_path / "run"))]
    with pytest.raises(TrainingError, match="NaN or infinite before step 4"):
        trainer(tmp_path, max_epochs=3, callbacks=callbacks).fit(tiny_module(), datamodule=data)
    saved = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)
    assert saved["global_step"] == 2
    assert all(value.isfinite().all() for value in saved["state_dict"].values())


def test_the_best_by_validation_is_kept_beside_the_last(tmp_path, data):
    class Worsen(Callback):
        """Spoils the weights after the second epoch."""

        def on_train_epoch_start(self, trainer, module):
            if trainer.current_epoch == 2:
                for value in module.parameters():
                    value.data.mul_(3.0)

    callbacks = [Worsen(), RunCheckpoint(str(tmp_path / "run"))]
    trainer(tmp_path, max_epochs=4, callbacks=callbacks).fit(
        tiny_module(learning_rate=1e-3), datamodule=data
    )
    best, last = (
        torch.load(tmp_path / "run" / f"{name}.ckpt", weights_only=True)["epoch"]
        for name in ("best", "last")
    )
    assert (best, last) == (1, 3)


def test_fewer_crops_than_a_batch_are_refused(tmp_path, data):
    data.batch_size = 11
    with pytest.raises(DataError, match=r"10 training crops.*--data\.batch_size"):
        trainer(tmp_path, max_epochs=1).fit(tiny_module(), datamodule=data)


@pytest.mark.parametrize("precision", ["bf16-true", "64-true"])
def test_weights_in_other_precisions_are_refused(tmp_path, data, precision):
    with pytest.raises(InvalidParameterError, match=rf"{precision}.*bf16-mixed"):
        trainer(tmp_path, precision=precision, max_epochs=1).fit(tiny_module(), datamodule=data)


def test_worker_processes_cut_the_same_crops(tmp_path, data):
    data.crop_size, data.batch_size = 16, 8

    def batches():
        data.setup("fit")
        loader = data.train_dataloader()
        loader.sampler.set_epoch(3)
        return torch.cat(list(loader))

    alone = batches()
    data.n_workers = 1
    assert torch.equal(batches(), alone)


def test_averages_are_those_of_lightning(tmp_path, data):
    found = []
    for average in (AveragedWeights(0.5), EMAWeightAveraging(decay=0.5, use_buffers=False)):
        torch.manual_seed(0)
        module = tiny_module()
        trainer(tmp_path, max_epochs=3, callbacks=[average]).fit(module, datamodule=data)
        found.append(module.state_dict())
    for name, value in found[0].items():
        torch.testing.assert_close(value, found[1][name], rtol=1e-5, atol=1e-6, msg=name)


def test_the_weight_of_the_kl_rises(tmp_path, data):
    module = tiny_module(kl_weight=0.5, anneal_steps=4)
    weights = []

    class Watch(Callback):
        def on_train_batch_start(self, *_):
            weights.append(module.kl_weight())

    options = {"limit_val_batches": 0, "max_steps": 6, "callbacks": [Watch()]}
    trainer(tmp_path, **options).fit(module, datamodule=data)
    assert weights[0] == pytest.approx(0.005)
    assert weights[2] == pytest.approx(0.5 * (0.01 + 0.99 / 2))
    assert weights[4:] == [0.5, 0.5]
