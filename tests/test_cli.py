"""``python -m irec fit|predict`` from end to end, on a tiny model."""

import csv
import errno
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from irec.cli import main
from irec.codec import decompress
from tests.pictures import picture

FOLDER = "irec.datamodules.image_folder.ImageFolderDataModule"
QUIET = ["--trainer.enable_progress_bar=false", "--trainer.accelerator=cpu"]


@pytest.fixture(autouse=True)
def in_own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # LightningCLI warns where it is given arguments beside those of the process.
    monkeypatch.setattr(sys, "argv", ["irec"])


@pytest.fixture
def pictures(tmp_path):
    sizes = {"a.png": (16, 16, 3), "b.png": (9, 21, 1), "inner/c.png": (12, 8, 4)}
    for seed, (name, size) in enumerate(sizes.items()):
        path = tmp_path / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(*size, seed).squeeze()).save(path)
    return tmp_path / "pictures"


def predict_arguments(checkpoint, pictures, output_dir, *more):
    return [
        "predict",
        f"--model.checkpoint={checkpoint}",
        f"--data={FOLDER}",
        f"--data.predict=[{pictures}]",
        f"--output_dir={output_dir}",
        "--coder.effort=1",
        *QUIET,
        *more,
    ]


def without_seconds(row):
    return {name: value for name, value in row.items() if not name.endswith("_s")}


def test_predict_writes_files_that_decode_and_a_table_that_adds_up(
    tiny_checkpoint, pictures, tmp_path, capsys
):
    assert main(predict_arguments(tiny_checkpoint, pictures, "out")) == 0
    document = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [row["name"] for row in document["images"]] == ["a.png", "b.png", "inner/c.png"]
    for row in document["images"]:
        path = (tmp_path / "out" / row["name"]).with_suffix(".irec")
        decoded = decompress(path.read_bytes(), checkpoint=str(tiny_checkpoint))
        original = np.asarray(Image.open(pictures / row["name"]))
        assert np.array_equal(decoded.squeeze(), original)
        assert row["file_bits"] == 8 * path.stat().st_size
        assert row["index_bits"] + row["side_bits"] + row["residual_bits"] == row["file_bits"]
    total = document["total"]
    assert total["file_bits"] == sum(row["file_bits"] for row in document["images"])
    with (tmp_path / "out" / "results.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 3
    assert "all 3" in capsys.readouterr().out


def test_predict_obeys_the_command_line(tiny_checkpoint, pictures, tmp_path):
    for effort in (1, 7):
        arguments = predict_arguments(tiny_checkpoint, pictures, f"effort{effort}")
        assert main([*arguments, f"--coder.effort={effort}", "--coder.seed=5"]) == 0
    one, seven = (
        json.loads((tmp_path / f"effort{effort}" / "results.json").read_text())["total"]
        for effort in (1, 7)
    )
    assert seven["residual_bits"] + seven["index_bits"] < one["residual_bits"] + one["index_bits"]


def test_fit_export_and_predict_follow_each_other(tmp_path, pictures, tiny_checkpoint):
    np.save("images.npy", np.stack([picture(32, 32, 3, seed) for seed in range(8)]))
    config = Path(__file__).parent.parent / "lightning_configs" / "rvae_small.yaml"
    arguments = ["fit", f"--config={config}", *QUIET, "--trainer.max_steps=4"]
    arguments += ["--data.train=[images.npy]", "--data.val=[images.npy]", "--data.batch_size=4"]
    arguments += ["--model.n_blocks=2", "--model.hidden_channels=8", "--model.latent_channels=2"]
    assert main(arguments) == 0
    (run,) = Path("runs").rglob("last.ckpt")
    assert list(Path("runs").rglob("irec_config.yaml"))
    from irec.codec.export import export_checkpoint

    export_checkpoint(run, Path("exported"), [picture(32, 32, 3)])
    assert main(predict_arguments("exported", pictures, "out")) == 0
    # A training run's configuration serves predict too.
    predict = ["predict", f"--config={config}", "--model.checkpoint=exported", *QUIET]
    predict += ["--data.predict=[images.npy]", "--coder.effort=1", "--trainer.logger=false"]
    assert main(predict) == 0
    # The same command goes on from a checkpoint of the run.
    assert main([*arguments, f"--ckpt_path={run}", "--trainer.max_steps=6"]) == 0


def test_the_model_of_a_training_run_needs_to_be_exported(pictures, capsys):
    config = Path(__file__).parent.parent / "lightning_configs" / "rvae.yaml"
    arguments = ["predict", f"--config={config}", f"--data={FOLDER}", *QUIET]
    assert main([*arguments, f"--data.predict=[{pictures}]", "--trainer.logger=false"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "irec export" in line
    assert not Path("compressed").exists()


@pytest.mark.parametrize("command", ["fit", "validate"])
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("nothing.ckpt", "No such file"),
        ("images.npy", "not a checkpoint, or damaged"),
        ("best", "name the file"),
    ],
)
def test_a_ckpt_path_that_is_no_runs_is_one_line(capsys, command, name, reason):
    np.save("images.npy", np.stack([picture(32, 32, 3, seed) for seed in range(2)]))
    config = Path(__file__).parent.parent / "lightning_configs" / "rvae_small.yaml"
    data = ["--data.train=[images.npy]", "--data.val=[images.npy]", "--data.batch_size=1"]
    arguments = [command, f"--config={config}", *data, *QUIET, f"--ckpt_path={name}"]
    assert main([*arguments, "--trainer.logger=false"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert name in line
    assert reason in line


@pytest.mark.parametrize("command", ["validate", "test"])
@pytest.mark.parametrize("more", [[], ["--ckpt_path=null"]])
def test_untrained_weights_are_not_measured(capsys, command, more):
    np.save("images.npy", np.stack([picture(32, 32, 3, seed) for seed in range(2)]))
    config = Path(__file__).parent.parent / "lightning_configs" / "rvae_small.yaml"
    arguments = [command, f"--config={config}", "--data.val=[images.npy]", *QUIET, *more]
    assert main([*arguments, "--trainer.logger=false"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "no trained weights" in line


def test_options_are_not_inherited_from_other_classes(tiny_checkpoint, capsys):
    kodak = "--data=irec.datamodules.kodak.KodakDataModule"
    with pytest.raises(SystemExit):
        main(["predict", kodak, "--print_config"])
    printed = capsys.readouterr().out
    assert "predict_batch_size: 1\n" in printed
    assert "learning_rate" not in printed


def test_where_all_images_fail_no_older_results_stay(tiny_checkpoint, pictures, monkeypatch):
    assert main(predict_arguments(tiny_checkpoint, pictures, "out")) == 0
    for path in pictures.rglob("*.png"):
        path.write_bytes(b"no image")
    assert main(predict_arguments(tiny_checkpoint, pictures, "out")) == 1
    assert not list(Path("out").glob("results.*"))


def test_memory_that_runs_out_is_a_failed_image(tiny_checkpoint, pictures, monkeypatch, capsys):
    import irec.measuring.measure as measuring

    def fail(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(measuring, "_shared", fail)
    assert main(predict_arguments(tiny_checkpoint, pictures, "out")) == 1
    errors = capsys.readouterr().err.splitlines()
    assert errors[0] == "failed: a.png: out of memory"
    assert errors[-1] == "irec: 3 of the images could not be compressed"


def test_the_precision_of_training_changes_no_figure(tiny_checkpoint, pictures, tmp_path):
    totals = []
    for precision in ("32-true", "bf16-mixed", "bf16-true", "64-true"):
        arguments = predict_arguments(tiny_checkpoint, pictures, precision)
        assert main([*arguments, f"--trainer.precision={precision}"]) == 0
        total = json.loads((tmp_path / precision / "results.json").read_text())["total"]
        totals.append(without_seconds(total))
    assert totals[1:] == totals[:1] * 3


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--model.checkpoint=nowhere"], "nowhere"),
        (["--data.predict=[empty]"], "empty"),
        (["--coder.effort=11"], "effort"),
        (["--trainer.accelerator=gpu"], "gpu"),
    ],
)
def test_wrong_turns_give_one_line(tiny_checkpoint, pictures, tmp_path, capsys, more, message):
    (tmp_path / "empty").mkdir()
    assert main([*predict_arguments(tiny_checkpoint, pictures, "out"), *more]) == 1
    errors = capsys.readouterr().err.strip().splitlines()
    assert errors[-1].startswith("irec: ")
    assert message in errors[-1]
    assert not any("Traceback" in line for line in errors)


def test_a_mistyped_option_is_named_and_is_a_usage_error(tiny_checkpoint, pictures, capsys):
    with pytest.raises(SystemExit) as caught:
        main(predict_arguments(tiny_checkpoint, pictures, "out", "--coder.efort=3"))
    assert caught.value.code == 2
    errors = capsys.readouterr().err
    assert "coder.efort" in errors.splitlines()[-1]
    assert len(errors.splitlines()) <= 3


def test_a_mistyped_key_of_a_config_is_named(pictures, capsys):
    Path("typo.yaml").write_text("trainer:\n  max_stepz: 3\n")
    with pytest.raises(SystemExit) as caught:
        main(["predict", "--config=typo.yaml"])
    assert caught.value.code == 2
    assert "max_stepz" in capsys.readouterr().err


def test_an_unreadable_image_is_reported_and_the_others_are_done(
    tiny_checkpoint, pictures, tmp_path, capsys
):
    (pictures / "b.png").write_bytes(b"no image")
    assert main(predict_arguments(tiny_checkpoint, pictures, "out")) == 1
    printed = capsys.readouterr()
    assert printed.err.splitlines()[0].startswith(f"failed: {pictures / 'b.png'}: ")
    assert printed.err.splitlines()[-1] == "irec: 1 of the images could not be compressed"
    document = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [row["name"] for row in document["images"]] == ["a.png", "inner/c.png"]
    assert list(document["failed"]) == ["b.png"]
    assert document["settings"]["effort"] == 1
    # Once it is mended, only what is missing has to be done.
    Image.fromarray(picture(9, 21, 1).squeeze()).save(pictures / "b.png")
    arguments = predict_arguments(tiny_checkpoint, pictures, "out", "--data.predict_batch_size=1")
    assert main(arguments) == 0
    assert capsys.readouterr().out.count(", kept\n") == 2


def test_an_image_that_cannot_be_coded_leaves_the_others_of_its_batch(
    tiny_checkpoint, pictures, monkeypatch, capsys
):
    monkeypatch.setattr("irec.codec.tiles.MAX_PIXELS", 200)
    assert main(predict_arguments(tiny_checkpoint, pictures, "out")) == 1
    assert "failed: a.png: " in capsys.readouterr().err
    assert len(list(Path("out").rglob("*.irec"))) == 2


@pytest.mark.parametrize("what", ["a file", "the table"])
def test_a_full_disk_is_one_line(tiny_checkpoint, pictures, monkeypatch, capsys, what):
    def fail(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if what == "a file":
        monkeypatch.setattr(os, "fsync", fail)
    else:
        monkeypatch.setattr("irec.measuring.run.write_results", fail)
    assert main(predict_arguments(tiny_checkpoint, pictures, "out")) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("irec: cannot write ")
    assert "disk is full" in line or "No space left" in line


def test_what_is_printed_to_a_file_has_no_control_codes_and_unbroken_rows(
    tiny_checkpoint, tmp_path, capsys
):
    name = "a-long-name-" * 12 + ".png"
    (tmp_path / "pictures").mkdir()
    Image.fromarray(picture(8, 8, 3)).save(tmp_path / "pictures" / name)
    assert main(predict_arguments(tiny_checkpoint, tmp_path / "pictures", "out")) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{name}: ")
    assert sum(name in line for line in lines) == 2
    assert not any("\x1b" in line or "\r" in line for line in lines)


def test_quiet_prints_failures_only(tiny_checkpoint, pictures, capsys):
    assert main(predict_arguments(tiny_checkpoint, pictures, "out", "--quiet")) == 0
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "")
    (pictures / "b.png").write_bytes(b"no image")
    assert main(predict_arguments(tiny_checkpoint, pictures, "out", "--quiet")) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "b.png" in printed.err
