"""``python -m irec fit|predict`` of the lossy model from end to end, on a tiny one."""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from irec.cli import main
from irec.codec import decompress
from irec.commands.app import app
from irec.images import psnr_db, read_image
from tests.checkpoints import write_transform_checkpoint
from tests.pictures import picture
from tests.processes import FOLDER

CONFIGS = Path(__file__).parent.parent / "lightning_configs"
MODULE = "irec.lightning_modules.two_level_vae.TwoLevelVAEModule"
TRANSFORM_MODULE = "irec.lightning_modules.transform_vae.TransformVAEModule"
TINY = [
    "--model.slices=[3,5,9]",
    "--model.interleaved=1",
    "--model.hyper_channels=4",
    "--model.state_channels=6",
    "--model.residual_channels=5",
]
TINY_PAPER = ["--model.channels=6", "--model.latent_channels=5", "--model.hyper_channels=4"]
RUN = Path("runs/transform-vae-photo/checkpoints/last.ckpt")


@pytest.fixture(autouse=True)
def in_own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # LightningCLI warns where it is given arguments beside those of the process.
    monkeypatch.setattr(sys, "argv", ["irec"])


@pytest.fixture
def photos():
    Path("photos").mkdir()
    for seed in range(2):
        Image.fromarray(picture(200, 200, 3, seed)).save(f"photos/{seed}.png")
    return "photos"


@pytest.fixture
def pictures():
    Path("pictures/inner").mkdir(parents=True)
    Image.fromarray(picture(40, 70, 3)).save("pictures/a.png")
    Image.fromarray(picture(30, 20, 2)).save("pictures/inner/b.png")
    return "pictures"


def fit_arguments(photos, *more, crop_size=64, steps=2, sizes=TINY):
    return [
        "fit",
        f"--config={CONFIGS / 'transform_vae.yaml'}",
        f"--data.train=[{photos}]",
        f"--data.val=[{photos}]",
        f"--data.crop_size={crop_size}",
        "--data.scales=[1.0]",
        "--data.batch_size=2",
        "--data.max_val_crops=2",
        f"--trainer.max_steps={steps}",
        f"--trainer.logger={CONFIGS / 'logger' / 'csv.yaml'}",
        "--trainer.log_every_n_steps=1",
        "--trainer.accelerator=cpu",
        "--trainer.check_val_every_n_epoch=1",
        "--quiet",
        *sizes,
        *more,
    ]


def predict_arguments(checkpoint, pictures, *more, module=MODULE):
    return [
        "predict",
        f"--model={module}",
        f"--model.checkpoint={checkpoint}",
        f"--data={FOLDER}",
        f"--data.predict=[{pictures}]",
        "--output_dir=out",
        "--coder.effort=1",
        "--coder.refinement_steps=1",
        "--trainer.accelerator=cpu",
        *more,
    ]


def assert_one_line(errors, message):
    assert errors.strip().splitlines()[-1].startswith("irec: ")
    assert message in errors
    assert "Traceback" not in errors


def test_fit_resume_export_and_predict_follow_each_other(photos, pictures, capsys):
    assert main(fit_arguments(photos)) == 0
    assert torch.load(RUN, weights_only=True)["global_step"] == 2
    # The same command goes on, as far as it is told to.
    assert main(fit_arguments(photos, steps=3)) == 0
    assert torch.load(RUN, weights_only=True)["global_step"] == 3
    result = CliRunner().invoke(app, ["export", str(RUN), "-o", "mine", "--images", photos])
    assert result.exit_code == 0, result.output
    chosen = "--coder.qualities=[0,100]"
    assert main(predict_arguments("mine", pictures, chosen, module=TRANSFORM_MODULE)) == 0
    for quality in (0, 100):
        folder = Path(f"out/quality_{quality}")
        found = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.irec"))
        assert found == ["a.irec", "inner/b.irec"]
        data = (folder / "a.irec").read_bytes()
        assert decompress(data, checkpoint="mine").shape == (40, 70, 3)
    # What fit was configured with serves predict too.
    predict = ["predict", f"--config={CONFIGS / 'transform_vae.yaml'}", "--quiet"]
    predict += ["--model.checkpoint=mine", f"--data.predict=[{pictures}]", "--coder.effort=1"]
    predict += ["--trainer.logger=false", "--output_dir=all", "--trainer.accelerator=cpu"]
    assert main([*predict, "--coder.ideal_samples=1", "--coder.qualities=[50]"]) == 0
    assert len(list(Path("all").rglob("*.irec"))) == 2
    # Another model is not taken for the same run.
    assert main(fit_arguments(photos, "--model.lambdas=[0.01]")) == 1
    assert_one_line(capsys.readouterr().err, "has lambdas")


def test_files_decode_to_what_the_table_says(tiny_lossy_checkpoint, pictures, capsys):
    chosen = ["--coder.qualities=[100,0]", "--coder.ideal_samples=2"]
    assert main(predict_arguments(tiny_lossy_checkpoint, pictures, *chosen)) == 0
    printed = capsys.readouterr().out
    document = json.loads(Path("out/results.json").read_text())
    rows = document["images"]
    assert [(row["name"], row["quality"]) for row in rows] == [
        ("a.png", 0),
        ("a.png", 100),
        ("inner/b.png", 0),
        ("inner/b.png", 100),
    ]
    for row in rows:
        path = Path("out", f"quality_{row['quality']:g}", row["name"]).with_suffix(".irec")
        assert row["file_bits"] == row["index_bits"] + row["side_bits"] == 8 * path.stat().st_size
        decoded = decompress(path.read_bytes(), checkpoint=str(tiny_lossy_checkpoint))
        original = read_image(Path(pictures, row["name"]))
        n_colours = row["channels"]
        np.testing.assert_array_equal(decoded[..., n_colours:], original[..., n_colours:])
        expected = psnr_db(original[..., :n_colours], decoded[..., :n_colours])
        assert row["psnr_db"] == pytest.approx(expected)
        assert f"{row['name']} at quality {row['quality']:g}: {path.stat().st_size:,}" in printed
    assert [point["quality"] for point in document["operating_points"]] == [0, 100]
    assert rows[0]["trade_off"] == pytest.approx(0.001)
    assert rows[1]["trade_off"] == pytest.approx(0.05)
    assert rows[0]["ideal_bits"] < rows[1]["ideal_bits"]
    with Path("out/results.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 4
    assert printed.count("mean of 2") == 2
    assert Path("out/rate_distortion.png").read_bytes().startswith(b"\x89PNG")
    with Path("out/rate_distortion.csv").open() as file:
        assert {row["curve"] for row in csv.DictReader(file)} == {"irec, files", "irec, ideal"}


def test_one_operating_point_makes_no_curve(tiny_lossy_checkpoint, pictures):
    # Files know halves of a quality, and equal ones need no second file.
    chosen = ["--coder.qualities=[33.3,33.5]", "--quiet", "--coder.ideal_samples=1"]
    assert main(predict_arguments(tiny_lossy_checkpoint, pictures, *chosen)) == 0
    assert sorted(path.name for path in Path("out").iterdir()) == [
        "quality_33.5",
        "results.csv",
        "results.json",
    ]
    assert len(json.loads(Path("out/results.json").read_text())["images"]) == 2


def test_a_model_of_one_rate_needs_no_folders(one_rate_checkpoint, pictures, capsys):
    assert main(predict_arguments(one_rate_checkpoint, pictures)) == 0
    found = sorted(str(path.relative_to("out")) for path in Path("out").rglob("*.irec"))
    assert found == ["a.irec", "inner/b.irec"]
    assert "quality" not in capsys.readouterr().out.splitlines()[0]
    assert not Path("out/rate_distortion.png").exists()
    rows = json.loads(Path("out/results.json").read_text())["images"]
    assert [row["quality"] for row in rows] == [None, None]


@pytest.mark.parametrize(
    ("kind", "qualities", "message"),
    [
        ("many", "[0,101]", "0 to 100, not 101"),
        ("many", "[-0.5]", "0 to 100"),
        ("many", "[.nan]", "0 to 100"),
        ("many", "[]", "empty"),
        ("one", "[50]", "--coder.qualities is for lossy models of several qualities"),
        ("lossless", "[50]", "is for lossy models"),
    ],
)
def test_impossible_qualities_are_refused_before_any_work(
    request, pictures, capsys, kind, qualities, message
):
    names = {"many": "tiny_lossy", "one": "one_rate", "lossless": "tiny"}
    checkpoint = request.getfixturevalue(f"{names[kind]}_checkpoint")
    arguments = predict_arguments(checkpoint, pictures, f"--coder.qualities={qualities}")
    if kind == "lossless":
        arguments[1] = "--model=irec.lightning_modules.rvae.RVAEModule"
    assert main([*arguments, "--quiet"]) == 1
    assert_one_line(capsys.readouterr().err, message)
    assert not Path("out").exists()


def test_an_image_that_fails_leaves_the_others(tiny_lossy_checkpoint, pictures, capsys):
    Path("pictures/c.png").write_bytes(b"no image")
    chosen = ["--coder.qualities=[50]", "--coder.ideal_samples=1"]
    assert main(predict_arguments(tiny_lossy_checkpoint, pictures, *chosen)) == 1
    assert_one_line(capsys.readouterr().err, "1 of the images could not be compressed")
    assert len(list(Path("out/quality_50").rglob("*.irec"))) == 2
    Image.fromarray(picture(16, 16, 3)).save("pictures/c.png")
    chosen += ["--data.predict_batch_size=1"]
    assert main(predict_arguments(tiny_lossy_checkpoint, pictures, *chosen)) == 0
    assert capsys.readouterr().out.count(", kept\n") == 2


@pytest.mark.parametrize(
    ("crop_size", "distortion", "message"),
    [(100, "mse", "multiples of 64"), (128, "ms_ssim", "161 pixels or more")],
)
def test_crops_that_cannot_be_used_are_one_line(photos, capsys, crop_size, distortion, message):
    chosen = f"--model.distortion={distortion}"
    assert main(fit_arguments(photos, chosen, crop_size=crop_size)) == 1
    assert_one_line(capsys.readouterr().err, message)


def test_ms_ssim_trains_and_is_logged(photos):
    chosen = ["--model.distortion=ms_ssim", "--model.lambdas=[0.1]"]
    assert main(fit_arguments(photos, *chosen, crop_size=192)) == 0
    with Path("runs/version_0/metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert any(row["val/ms_ssim_db/lambda_0.1"] for row in rows)
    assert [bool(row["train/bpp"]) for row in rows].count(True) == 2


def test_the_papers_configuration_trains(photos):
    arguments = fit_arguments(photos, f"--data={FOLDER}", sizes=TINY_PAPER)
    arguments[1] = f"--config={CONFIGS / 'two_level_vae.yaml'}"
    # Before its options, which the configuration's own data module has not got.
    arguments.insert(2, arguments.pop())
    assert main([*arguments, "--trainer.limit_val_batches=0"]) == 0
    path = Path("runs/two-level-vae/checkpoints/last.ckpt")
    assert torch.load(path, weights_only=True)["hyper_parameters"]["lambdas"] == [0.01]


def test_the_kodak_configuration_needs_the_images_only(tmp_path, monkeypatch):
    checkpoint = write_transform_checkpoint(tmp_path / "tiny")
    folder = Path("data/kodak")
    folder.mkdir(parents=True)
    monkeypatch.setattr("irec.datamodules.kodak.SHAPES", {(16, 24, 3)})
    for index in range(1, 25):
        Image.fromarray(picture(16, 24, 3, index)).save(folder / f"kodim{index:02d}.png")
    arguments = ["predict", f"--config={CONFIGS / 'kodak_rate_distortion.yaml'}"]
    arguments += [f"--model.checkpoint={checkpoint}", "--trainer.accelerator=cpu"]
    assert main([*arguments, "--coder.qualities=[0,50]", "--coder.effort=1"]) == 0
    assert len(list(Path("compressed/kodak").rglob("*.irec"))) == 24 * 2
    with Path("compressed/kodak/rate_distortion.csv").open() as file:
        # Published curves stand beside those of Kodak's images.
        assert len({row["curve"] for row in csv.DictReader(file)}) > 2
