"""fit killed and started again, and on several processes: the weights stay the same."""

import csv
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.pictures import picture
from tests.processes import FOLDER, on_processes, run, start

CONFIGS = Path(__file__).parent.parent / "lightning_configs"
CHECKPOINT = "runs/rvae-small/checkpoints/last.ckpt"


@pytest.fixture
def images(tmp_path):
    path = tmp_path / "images.npy"
    np.save(path, np.stack([picture(32, 32, 3, seed) for seed in range(48)]))
    return path


def fit_arguments(images, batch_size=4, epochs=4):
    return [
        "fit",
        f"--config={CONFIGS / 'rvae_small.yaml'}",
        f"--data={FOLDER}",
        f"--data.train=[{images}]",
        f"--data.val=[{images}]",
        f"--data.batch_size={batch_size}",
        "--data.max_val_crops=8",
        "--model.n_blocks=2",
        "--model.hidden_channels=8",
        "--model.latent_channels=2",
        f"--trainer.max_epochs={epochs}",
        f"--trainer.logger={CONFIGS / 'logger' / 'csv.yaml'}",
        "--trainer.log_every_n_steps=1",
        "--trainer.accelerator=cpu",
    ]


def weights(folder):
    """Averaged weights, and those that training goes on with."""
    saved = torch.load(folder / CHECKPOINT, weights_only=True)
    return saved["state_dict"] | {
        f"current.{name}": value for name, value in saved["current_model_state"].items()
    }


@pytest.mark.slow
def test_a_killed_run_ends_with_the_weights_of_an_unbroken_one(images, tmp_path):
    (tmp_path / "unbroken").mkdir()
    run(*fit_arguments(images), cwd=tmp_path / "unbroken")
    # At the end of an epoch, about when its checkpoint is written, and inside the next one.
    for seconds in (0.0, 0.2):
        process = start(*fit_arguments(images), cwd=tmp_path)
        while not process.stdout.readline().startswith("epoch "):
            assert process.poll() is None
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    out, _ = run(*fit_arguments(images), cwd=tmp_path)
    assert 1 <= out.count("epoch ") < 4
    assert "epoch 3, step 48, " in out
    expected, found = weights(tmp_path / "unbroken"), weights(tmp_path)
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        assert torch.equal(value, found[name]), name
    # Started once more, there is nothing left to do.
    out, _ = run(*fit_arguments(images), cwd=tmp_path)
    assert "epoch " not in out


def figures(folder, name):
    """One column of what a run logged."""
    with next(folder.glob("runs/version_*/metrics.csv")).open() as file:
        return np.array([float(row[name]) for row in csv.DictReader(file) if row.get(name)])


@pytest.mark.slow
@pytest.mark.ddp
@pytest.mark.parametrize("n_processes", [2, 3])
def test_figures_of_evaluation_are_the_same_on_any_number_of_processes(
    images, tmp_path, n_processes
):
    """Nine crops in batches of four: three batches, the last one of a single crop."""
    arguments = [*fit_arguments(images, epochs=1), "--data.max_val_crops=9"]
    run(*arguments, cwd=tmp_path)
    test = ["test", *arguments[1:], f"--ckpt_path={tmp_path / CHECKPOINT}"]
    found = []
    for n in (1, n_processes):
        folder = tmp_path / str(n)
        folder.mkdir()
        run(*test, *on_processes(n), cwd=folder)
        found.append([figures(folder, f"test/{name}") for name in ("bpd", "kl_nats/tensor_00")])
    np.testing.assert_allclose(found[1], found[0], rtol=1e-6)


@pytest.mark.slow
@pytest.mark.ddp
@pytest.mark.parametrize("n_processes", [1, 2])
def test_sigterm_ends_a_run_that_goes_on_later(images, tmp_path, n_processes):
    arguments = [*fit_arguments(images, epochs=400), *on_processes(n_processes)]
    process = start(*arguments, cwd=tmp_path)
    while not process.stdout.readline().startswith("epoch "):
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143, errors
    assert errors.splitlines()[-1] == "irec: terminated"
    assert (tmp_path / CHECKPOINT).is_file()


@pytest.mark.slow
def test_a_compiled_model_takes_batches_of_any_size(images, tmp_path):
    more = ["--data.max_val_crops=9", "--model.compile_model=true"]
    # The compiler takes its time.
    run(*fit_arguments(images, epochs=1), *more, cwd=tmp_path, timeout=280)
    assert (tmp_path / CHECKPOINT).is_file()


@pytest.mark.slow
@pytest.mark.ddp
def test_two_processes_train_as_one_with_the_doubled_batch(images, tmp_path):
    for n_processes in (1, 2):
        folder = tmp_path / str(n_processes)
        folder.mkdir()
        arguments = fit_arguments(images, batch_size=8 // n_processes, epochs=3)
        # Some latent channels are above these free bits, some below, and some in between.
        changes = ["--model=tests.noiseless.NoiselessModule", "--model.free_bits_nats=8"]
        run(*arguments, *changes, *on_processes(n_processes), cwd=folder)
    for name in ("loss", "val/bpd"):
        one, two = (figures(tmp_path / str(n), name) for n in (1, 2))
        assert len(one) == len(two) > 2
        np.testing.assert_allclose(two, one, rtol=1e-5)
    one, two = (weights(tmp_path / str(n)) for n in (1, 2))
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-3, atol=1e-4, msg=name)
