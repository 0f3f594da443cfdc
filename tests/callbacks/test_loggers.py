"""What fit and predict log, read back from the files of each logger."""

import csv
import errno
import os
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from irec.callbacks.training import EpochBar
from irec.cli import main
from tests.pictures import picture
from tests.processes import predict_arguments
from tests.test_fit_processes import CONFIGS, fit_arguments
from tests.wandb_files import end_runs, logged


@pytest.fixture
def images():
    np.save("images.npy", np.stack([picture(32, 32, 3, seed) for seed in range(8)]))
    return "images.npy"


def fit_with(logger, images):
    arguments = fit_arguments(images, epochs=1)
    chosen = [f"--trainer.logger={CONFIGS / 'logger' / logger}.yaml"]
    assert main([*arguments, *chosen, "--quiet"]) == 0


def test_an_offline_run_of_fit_holds_config_figures_and_pictures(images):
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], [*identity, "commit", "-q", "--allow-empty", "-m", "x"]):
        subprocess.run(["git", *command], check=True)
    head = subprocess.check_output(["git", "rev-parse", "HEAD"], text=True).strip()
    fit_with("wandb", images)
    end_runs()
    run, history, config, _ = logged("runs")
    assert run.project == "irec"
    assert run.git.commit == head
    assert config["resolved"]["data"]["init_args"]["train"] == ["images.npy"]
    for key in ("train/bpd", "train/nll_bpd", "train/kl_bpd", "train/images_per_s", "lr-Adamax"):
        assert all(value > 0 for value in history[key]), key
    for key in ("val/bpd", "val/kl_nats/tensor_00", "val/kl_nats/tensor_01"):
        assert len(history[key]) == 1
    assert 1 < history["val/scale_grey_levels/red"][0] < 100
    for key, height in (("images/reconstructions", 2 * 34 + 2), ("images/samples", 34 + 2)):
        (value,) = history[key]
        (path,) = Path("runs").rglob(Path(value["filenames"][0]).name)
        assert Image.open(path).size[1] == height


def test_a_resumed_run_is_one_run_with_its_best_figures(images):
    for epochs in (1, 2):
        arguments = fit_arguments(images, epochs=epochs)
        chosen = [f"--trainer.logger={CONFIGS / 'logger' / 'wandb.yaml'}", "--ckpt_path=last"]
        assert main([*arguments, *chosen, "--quiet"]) == 0
        end_runs()
    paths = list(Path("runs").rglob("*.wandb"))
    runs = [logged(path.parent) for path in paths]
    assert len({run.run_id for run, *_ in runs}) == 1
    assert [run.job_type for run, *_ in runs] == ["train", "train"]
    for _, history, _, summary in runs:
        assert summary["val/bpd"] == {"min": min(history["val/bpd"])}
        assert all(value > 0 for value in history["train/gradient_norm"])
    # Started over, it is another one.
    arguments = fit_arguments(images, epochs=1)
    assert main([*arguments, *chosen[:1], "--ckpt_path=null", "--quiet"]) == 0
    end_runs()
    (path,) = set(Path("runs").rglob("*.wandb")) - set(paths)
    assert logged(path.parent)[0].run_id != runs[0][0].run_id


def test_csv_works_by_configuration_alone(images):
    fit_with("csv", images)
    with Path("runs/version_0/metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["train/bpd"] != "" for row in rows].count(True) == 2
    assert any(row["val/bpd"] for row in rows)
    assert Path("runs/version_0/irec_config.yaml").is_file()


def test_tensorboard_works_by_configuration_alone(images):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    fit_with("tensorboard", images)
    events = EventAccumulator("runs/version_0")
    events.Reload()
    assert {"train/bpd", "val/bpd", "val/kl_nats/tensor_00"} <= set(events.Tags()["scalars"])
    assert set(events.Tags()["images"]) == {"images/reconstructions", "images/samples"}


def test_predict_is_a_run_of_its_own(images, tiny_checkpoint):
    chosen = f"--trainer.logger={CONFIGS / 'logger' / 'wandb.yaml'}"
    assert main(predict_arguments(tiny_checkpoint, images, "out", chosen, "--quiet")) == 0
    end_runs()
    run, history, config, summary = logged("runs")
    assert (run.job_type, run.run_group) == ("compress", tiny_checkpoint.name)
    assert config["compression"]["effort"] == 1
    assert config["resolved"]["data"]["init_args"]["predict"] == [images]
    assert summary["n_failed"] == 0
    assert history["images"][0]["nrows"] == 8
    assert sum(history["histograms/overhead"][0]["values"]) == 8
    assert len(history["decoded"][0]["captions"]) == 8
    files = sum(path.stat().st_size for path in Path("out").rglob("*.irec"))
    assert summary["total/file_bits"] == 8 * files


def test_a_full_disk_in_fit_is_one_line(images, monkeypatch, capsys):
    def fail(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("irec.callbacks.training.RunCheckpoint.on_validation_end", fail)
    assert main([*fit_arguments(images, epochs=1), "--trainer.num_sanity_val_steps=0"]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == "irec: the disk is full"


def test_predict_logs_nothing_unless_asked(images, tiny_checkpoint):
    assert main(predict_arguments(tiny_checkpoint, images, "out", "--quiet")) == 0
    assert not list(Path().rglob("*.wandb"))
    assert not Path("lightning_logs").exists()


def test_a_bar_counts_no_further_than_epochs_go():
    bar = EpochBar()
    bar._trainer = SimpleNamespace(max_epochs=-1, sanity_checking=False)
    assert bar._get_train_description(8).split() == ["Epoch", "8"]
    bar._trainer.max_epochs = 10
    assert bar._get_train_description(8).split() == ["Epoch", "8/9"]
