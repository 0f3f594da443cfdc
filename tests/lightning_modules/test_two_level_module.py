"""The lossy model's objective, schedule, figures and options, each against its own definition."""

import math

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from irec.datamodules.image_folder import ImageFolderDataModule
from irec.errors import CheckpointError, DataError, InvalidParameterError
from irec.lightning_modules import lossy
from irec.lightning_modules.two_level_vae import TwoLevelVAEModule
from irec.models.sources import PosteriorSampler
from tests.pictures import picture

LAMBDAS = (0.001, 0.01, 0.05)


class RecordingModule(TwoLevelVAEModule):
    """Keeps, for each step, the random state before it, its batch and its loss."""

    def __init__(self, **options):
        super().__init__(**options)
        self.steps = []

    def training_step(self, batch, batch_idx):
        state = torch.random.get_rng_state()
        loss = super().training_step(batch, batch_idx)
        self.steps.append((state, batch, loss.detach()))
        return loss


class LearningRates(Callback):
    def __init__(self):
        self.values = []

    def on_train_batch_start(self, trainer, *_):
        self.values.append(trainer.optimizers[0].param_groups[0]["lr"])


class Measured(Callback):
    """Keeps, for each step, the rate of its batch and the lambda that it was trained at."""

    def __init__(self):
        self.bpp, self.trade_off = [], []

    def on_train_batch_end(self, trainer, *_):
        self.bpp.append(trainer.callback_metrics["train/bpp"].item())
        self.trade_off.append(trainer.callback_metrics["train/lambda"].item())


def tiny_module(kind=TwoLevelVAEModule, **changes):
    torch.manual_seed(0)
    sizes = {"channels": 6, "latent_channels": 5, "hyper_channels": 4, "lambdas": LAMBDAS}
    return kind(**{**sizes, **changes})


def data_of(folder, crop_size=64):
    images = np.stack([picture(crop_size, crop_size, 3, seed) for seed in range(8)])
    np.save(folder / "images.npy", images)
    source = [str(folder / "images.npy")]
    return ImageFolderDataModule(train=source, val=source, crop_size=crop_size, batch_size=4)


@pytest.fixture
def data(tmp_path):
    return data_of(tmp_path)


def trainer(folder, **changes):
    off = ("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing")
    quiet = {**dict.fromkeys(off, False), "num_sanity_val_steps": 0, "accelerator": "cpu"}
    return Trainer(default_root_dir=folder, **{**quiet, **changes})


def documented_loss(module, state, batch, kl_weight, steered=1.0):
    """The mean of weight * (lambda * squared error + kl_weight * bits per pixel)."""
    lambdas = np.array(module.model.config.lambdas)
    torch.random.set_rng_state(state)
    anchor_position = torch.rand(len(batch)) * (len(lambdas) - 1)
    trade_off = np.exp(np.interp(anchor_position.numpy(), np.arange(len(lambdas)), np.log(lambdas)))
    trade_off *= steered
    source = PosteriorSampler()
    with torch.no_grad():
        decoded = module.model(batch.float(), source, anchor_position).double()
    nats = sum(kl.double().sum((1, 2, 3)) for kl in source.kl_nats).numpy()
    bpp = nats / math.log(2) / (batch.shape[2] * batch.shape[3])
    # 255^2 times the squared error of images in [0, 1].
    mse = 255**2 * ((decoded - batch.double()) / 255).square().mean((1, 2, 3)).numpy()
    weight = np.sqrt(math.sqrt(lambdas[0] * lambdas[-1]) / trade_off)
    return np.mean(weight * (trade_off * mse + kl_weight * bpp))


@pytest.mark.parametrize("lambdas", [(1e-6, 1e-5, 3e-5), (1e-5,)])
def test_loss_is_as_documented_while_the_weight_of_bits_rises(tmp_path, data, lambdas):
    # Small lambdas make much of the bits; without learning all steps see the same weights.
    module = tiny_module(RecordingModule, lambdas=lambdas, learning_rate=0.0, anneal_steps=4)
    trainer(tmp_path, max_steps=6, limit_val_batches=0).fit(module, datamodule=data)
    kl_weights = [0.1, 0.325, 0.55, 0.775, 1.0, 1.0]
    for (state, batch, loss), kl_weight in zip(module.steps, kl_weights, strict=True):
        expected = documented_loss(module, state, batch, kl_weight)
        assert loss.item() == pytest.approx(expected, rel=1e-4)
        assert expected != pytest.approx(documented_loss(module, state, batch, 0.9), rel=1e-3)


def test_steps_draw_different_rates_and_noise(tmp_path, data):
    module = tiny_module(RecordingModule, learning_rate=0.0)
    trainer(tmp_path, max_steps=4, limit_val_batches=0).fit(module, datamodule=data)
    states = {tuple(state.tolist()) for state, _, _ in module.steps}
    assert len(states) == 4


def test_learning_rate_warms_up_and_falls_as_a_cosine(tmp_path, data):
    rates = LearningRates()
    module = tiny_module(learning_rate=2e-4, schedule="cosine", warmup_steps=3)
    run = trainer(tmp_path, max_steps=8, limit_val_batches=0, callbacks=[rates])
    run.fit(module, datamodule=data)
    for step, rate in enumerate(rates.values):
        cosine = 0.01 + 0.99 * math.cos(math.pi * step / 16) ** 2
        assert rate == pytest.approx(2e-4 * min(1, (step + 1) / 3) * cosine)
    assert len(rates.values) == 8
    assert run.optimizers[0].param_groups[0]["lr"] == pytest.approx(2e-6)


def test_learning_rate_is_constant_unless_asked(tmp_path, data):
    rates = LearningRates()
    run = trainer(tmp_path, max_steps=3, limit_val_batches=0, callbacks=[rates])
    run.fit(tiny_module(learning_rate=2e-4), datamodule=data)
    assert rates.values == [2e-4] * 3


def test_training_lowers_the_loss(tmp_path, data):
    module = tiny_module(learning_rate=5e-3)
    quiet = {"datamodule": data, "verbose": False}
    before = trainer(tmp_path).validate(module, **quiet)[0]["val/loss"]
    trainer(tmp_path, max_epochs=8, limit_val_batches=0).fit(module, datamodule=data)
    after = trainer(tmp_path).validate(module, **quiet)[0]["val/loss"]
    assert after < 0.9 * before


@pytest.mark.parametrize("crop_size", [64, 192])
def test_figures_of_every_lambda_add_up(tmp_path, crop_size):
    module, data = tiny_module(), data_of(tmp_path, crop_size)
    # Of one image the mean of decibels is that of squared errors.
    data.max_val_crops = 1
    with torch.no_grad():
        # Nothing to clip.
        module.model.synthesis.last.weight.mul_(0.1)
    run = trainer(tmp_path, max_epochs=1)
    run.fit(module, datamodule=data)
    found = {name: value.item() for name, value in run.callback_metrics.items()}
    assert found["train/bpp"] == pytest.approx(found["train/bpp_z1"] + found["train/bpp_z2"])
    assert found["train/psnr_db"] > 0
    losses = []
    for trade_off in LAMBDAS:
        bpp, z1, z2, psnr = (
            found[f"val/{name}/lambda_{trade_off:g}"]
            for name in ("bpp", "bpp_z1", "bpp_z2", "psnr_db")
        )
        assert bpp == pytest.approx(z1 + z2)
        assert z1 > 0
        for part in ("z1", "z2"):
            assert 0 <= found[f"val/active_dimensions_{part}/lambda_{trade_off:g}"] <= 1
        losses.append(trade_off * 255**2 * 10 ** (-psnr / 10) + bpp)
        # Smaller crops have no MS-SSIM.
        assert (f"val/ms_ssim_db/lambda_{trade_off:g}" in found) == (crop_size == 192)
    # Up to the rounding of images whose PSNR is taken.
    assert found["val/loss"] == pytest.approx(np.mean(losses), rel=1e-3)
    tested = trainer(tmp_path).test(module, datamodule=data, verbose=False)[0]
    validated = {name.replace("val/", "test/") for name in found if name.startswith("val/")}
    assert set(tested) == validated


def test_dimensions_with_more_than_a_hundredth_of_a_nat_are_in_use(monkeypatch):
    kl = [torch.tensor([0.0, 0.005, 0.02, 3.0]).view(1, 4, 1, 1), torch.zeros(1, 5, 4, 4)]

    def model(pixels, source, anchor_position):
        source.kl_nats.extend(kl)
        return pixels

    module = tiny_module()
    monkeypatch.setattr(module.model, "forward", model)
    images = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    assert module.terms(images, torch.zeros(1)).active.tolist() == [[0.5], [0.0]]


@pytest.mark.filterwarnings("ignore:.*self.log.*")
@pytest.mark.parametrize("target", [0.1, 2.0])
def test_steering_finds_the_lambda_of_a_rate(target):
    module = tiny_module(lambdas=(0.01,), target_bpp=target)
    # Rates of lossy models grow about as the root of lambda; here 1 bit at the beginning.
    for _ in range(15_000):
        module._steer(torch.exp(0.5 * module.log_steered))
    assert module.log_steered.item() == pytest.approx(2 * math.log(target), abs=0.01)
    # A rate out of reach leaves numbers to go on with.
    for _ in range(9):
        module.log_steered.fill_(30.0)
        module._steer(torch.zeros(()))
    assert module.log_steered.exp() == pytest.approx(1e3)


@pytest.mark.filterwarnings("ignore:.*self.log.*")
@pytest.mark.parametrize("bpp", [0.25, 0.5, 4.0])
def test_a_step_multiplies_lambda_by_a_power_of_target_over_measured(bpp):
    module = tiny_module(lambdas=(0.01,), target_bpp=0.5)
    for _ in range(20):
        module._steer(torch.tensor(bpp))
    assert module.log_steered.exp() == pytest.approx((0.5 / bpp) ** (20 * 0.001))


@pytest.mark.parametrize("target", [0.001, 5.0])
def test_every_step_of_a_run_steers_by_the_rate_of_its_batch(tmp_path, data, target):
    measured = Measured()
    module = tiny_module(lambdas=(0.01,), target_bpp=target)
    run = trainer(tmp_path, max_steps=6, limit_val_batches=0, callbacks=[measured])
    run.fit(module, datamodule=data)
    factors = np.cumprod([1.0, *((target / bpp) ** 0.001 for bpp in measured.bpp)])
    assert measured.trade_off == pytest.approx(0.01 * factors[:-1])
    assert module.log_steered.exp() == pytest.approx(factors[-1])
    assert len(set(measured.bpp)) == 6
    # Nothing untrained has so few bits, or so many.
    assert (factors[-1] < 1) == (target == 0.001)


def test_the_loss_is_taken_at_the_lambda_that_was_steered_to(tmp_path, data):
    module = tiny_module(RecordingModule, lambdas=(1e-5,), learning_rate=0.0)
    module.log_steered.fill_(math.log(3.0))
    trainer(tmp_path, max_steps=1, limit_val_batches=0).fit(module, datamodule=data)
    ((*step, loss),) = module.steps
    assert loss.item() == pytest.approx(documented_loss(module, *step, 1.0, 3.0), rel=1e-4)
    assert loss.item() != pytest.approx(documented_loss(module, *step, 1.0), rel=1e-2)


def test_a_target_moves_the_rate(tmp_path, data, monkeypatch):
    # A run this short needs a fast hand: lambda is 1e6 times as much at the end for one target as
    # for the other, and of four seeds none had rates less than eight times as high.
    monkeypatch.setattr(lossy, "_STEERING", 0.2)
    rates = []
    for target in (0.001, 5.0):
        measured = Measured()
        module = tiny_module(lambdas=(0.01,), learning_rate=1e-2, target_bpp=target)
        run = trainer(tmp_path, max_epochs=24, limit_val_batches=0, callbacks=[measured])
        run.fit(module, datamodule=data)
        rates.append(np.mean(measured.bpp[-10:]))
    low, high = rates
    assert low < high


def test_steering_waits_until_the_bits_have_their_weight(tmp_path, data):
    module = tiny_module(lambdas=(0.01,), target_bpp=1.0, anneal_steps=4)
    trainer(tmp_path, max_steps=4, limit_val_batches=0).fit(module, datamodule=data)
    assert module.log_steered == 0.0
    module = tiny_module(lambdas=(0.01,), target_bpp=1.0, anneal_steps=3)
    trainer(tmp_path, max_steps=4, limit_val_batches=0).fit(module, datamodule=data)
    assert module.log_steered != 0.0


def test_the_lambda_of_a_target_is_kept_and_gone_on_with(tmp_path, data):
    options = {"lambdas": (0.01,), "target_bpp": 0.01}
    module, saver = tiny_module(**options), ModelCheckpoint(tmp_path, "run")
    on = {"enable_checkpointing": True, "callbacks": [saver], "limit_val_batches": 0}
    trainer(tmp_path, max_epochs=3, **on).fit(module, datamodule=data)
    (kept,) = torch.load(tmp_path / "run.ckpt")["hyper_parameters"]["lambdas"]
    assert kept == pytest.approx(0.01 * math.exp(module.log_steered.item()))
    assert kept < 0.00999
    again = tiny_module(**options)
    trainer(tmp_path, max_epochs=3).fit(again, datamodule=data, ckpt_path=tmp_path / "run.ckpt")
    assert again.log_steered == module.log_steered
    with pytest.raises(CheckpointError, match=r"has lambdas \[0\.00.*asked for is \[0\.01\]"):
        trainer(tmp_path, max_epochs=3).fit(
            tiny_module(lambdas=(0.01,)), datamodule=data, ckpt_path=tmp_path / "run.ckpt"
        )


@pytest.mark.parametrize(
    ("lambdas", "target", "message"),
    [
        (LAMBDAS, 0.5, "a model of 3 lambdas has as many rates"),
        ((0.01,), 0.0, r"target_bpp 0\.0: a positive number"),
        ((0.01,), math.nan, "target_bpp nan: a positive number"),
    ],
)
def test_targets_that_make_no_sense_are_refused(lambdas, target, message):
    with pytest.raises(InvalidParameterError, match=message):
        tiny_module(lambdas=lambdas, target_bpp=target)


def test_ms_ssim_trains(tmp_path):
    module = tiny_module(distortion="ms_ssim", lambdas=(0.1,), learning_rate=1e-3)
    before = [value.clone() for value in module.parameters()]
    run = trainer(tmp_path, max_steps=2)
    run.fit(module, datamodule=data_of(tmp_path, 192))
    found = {name: value.item() for name, value in run.callback_metrics.items()}
    ms_ssim = 1 - 10 ** (-found["val/ms_ssim_db/lambda_0.1"] / 10)
    expected = 0.1 * 255 * (1 - ms_ssim) + found["val/bpp/lambda_0.1"]
    assert found["val/loss"] == pytest.approx(expected, rel=0.02)
    changed = [
        not torch.equal(value, old) for value, old in zip(module.parameters(), before, strict=True)
    ]
    assert all(changed)


@pytest.mark.parametrize(
    ("crop_size", "distortion", "message"),
    [(100, "mse", "multiples of 64, not 100x100"), (128, "ms_ssim", "for MS-SSIM, not 128x128")],
)
def test_crops_that_cannot_be_used_are_told(tmp_path, crop_size, distortion, message):
    module = tiny_module(distortion=distortion)
    with pytest.raises(DataError, match=message):
        trainer(tmp_path, max_steps=1).fit(module, datamodule=data_of(tmp_path, crop_size))


def test_pictures_have_the_size_of_what_they_show():
    module, images = tiny_module(), torch.randint(0, 256, (3, 3, 64, 128), dtype=torch.uint8)
    assert module.reconstruct(images).shape == images.shape
    assert module.sample(2, 64, 128).shape == (2, 3, 64, 128)
    one_rate = tiny_module(lambdas=(0.01,))
    assert one_rate.reconstruct(images).shape == images.shape


def test_a_module_started_from_a_checkpoint_has_its_rates(tiny_lossy_checkpoint, tiny_checkpoint):
    module = TwoLevelVAEModule(checkpoint=str(tiny_lossy_checkpoint))
    assert module.hparams["lambdas"] == [0.001, 0.01, 0.05]
    assert all(value.requires_grad for value in module.parameters())
    with pytest.raises(CheckpointError, match=r"holds a RVAE.*--model\.checkpoint"):
        TwoLevelVAEModule(checkpoint=str(tiny_checkpoint))
