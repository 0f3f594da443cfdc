"""What the transform VAE's module adds to the other lossy model's: start and learning rates."""

import pytest
import torch
from lightning.pytorch import Callback

from irec.lightning_modules.transform_vae import TransformVAEModule
from tests.lightning_modules.test_two_level_module import data_of, trainer

SIZES = {
    "slices": (3, 5, 9),
    "interleaved": 1,
    "hyper_channels": 4,
    "state_channels": 6,
    "residual_channels": 5,
    "lambdas": (0.001, 0.1),
}


class Keeper(Callback):
    """Keeps the transform as it is before the first step."""

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        if trainer.global_step == 0:
            self.basis = module.model.transform.forward_basis.detach().clone()


def fit(folder, **changes):
    torch.manual_seed(0)
    module, keeper = TransformVAEModule(**{**SIZES, **changes}), Keeper()
    before = module.model.transform.forward_basis.detach().clone()
    trainer(folder, max_epochs=1, callbacks=[keeper]).fit(module, datamodule=data_of(folder))
    return module, before, keeper.basis


def test_a_run_begins_with_the_components_of_its_images(tmp_path):
    module, before, basis = fit(tmp_path)
    assert not torch.equal(before, basis)
    torch.testing.assert_close(basis @ basis.T, torch.eye(9), atol=1e-4, rtol=0)
    # Components by falling variance.
    assert (module.model.log_deviation.diff() < 0.1).all()


def test_a_random_start_stays_as_it_is(tmp_path):
    _, before, basis = fit(tmp_path, initialise="random")
    assert torch.equal(before, basis)


def test_the_transform_learns_more_slowly():
    module = TransformVAEModule(**SIZES, learning_rate=0.01, transform_rate=0.5)
    kernels, rest, transform = module.make_optimizer().param_groups
    assert (kernels["lr"], rest["lr"], transform["lr"]) == (0.01, 0.01, 0.005)
    assert {id(p) for p in transform["params"]} == {
        id(p) for p in module.model.transform.parameters()
    }
    trained = [*kernels["params"], *rest["params"], *transform["params"]]
    assert {id(p) for p in trained} == {id(p) for p in module.parameters()}
    assert len(trained) == len(list(module.parameters()))


def test_the_bits_of_each_slice_are_told():
    rates = TransformVAEModule(**SIZES)._parts(torch.tensor([[1.0], [2.0], [4.0], [8.0], [16.0]]))
    assert {name: value.item() for name, value in rates.items()} == {
        **{"z2": 1.0, "z1": 30.0},
        **{"slice_0": 6.0, "slice_1": 8.0, "slice_2": 16.0},
    }


def test_the_share_of_dimensions_in_use_is_that_of_each_part():
    module = TransformVAEModule(**SIZES)
    # z2 and, at 64 pixels, 4x4 positions of three channels in halves, of two, of four.
    assert module.model.n_latent_dims(64, 64) == [4, 24, 24, 32, 64]
    shares = torch.tensor([[0.5, 0.0], [1.0, 0.0], [0.0, 0.0], [0.25, 0.0], [0.5, 1.0]])
    found = module._active_dimensions(shares, 64, 64)
    assert {name: value.tolist() for name, value in found.items()} == {
        "active_dimensions_z2": [0.5, 0.0],
        "active_dimensions_z1": pytest.approx([64 / 144, 64 / 144]),
        "active_dimensions_slice_0": [0.5, 0.0],
        "active_dimensions_slice_1": [0.25, 0.0],
        "active_dimensions_slice_2": [0.5, 1.0],
    }
