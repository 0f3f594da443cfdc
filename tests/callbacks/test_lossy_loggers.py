"""What fit and predict log of lossy models, read back from the files of each logger."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from irec.cli import main
from tests.pictures import picture
from tests.test_cli_lossy import CONFIGS, fit_arguments, predict_arguments
from tests.wandb_files import end_runs, logged


@pytest.fixture
def pictures():
    """RGB, larger than a thumbnail, and grey with alpha."""
    Path("pictures").mkdir()
    Image.fromarray(picture(40, 300, 3)).save("pictures/a.png")
    Image.fromarray(picture(30, 20, 2)).save("pictures/b.png")
    return "pictures"


def logger(name):
    return f"--trainer.logger={CONFIGS / 'logger' / name}.yaml"


def predict(checkpoint, pictures, name, *more):
    arguments = predict_arguments(checkpoint, pictures, logger(name), "--quiet", *more)
    assert main([*arguments, "--coder.ideal_samples=1"]) == 0
    end_runs()


def test_predict_logs_a_row_and_a_picture_for_each_quality(pictures, tiny_lossy_checkpoint):
    predict(tiny_lossy_checkpoint, pictures, "wandb", "--coder.qualities=[0,100]")
    run, history, config, summary = logged("runs")
    assert (run.job_type, run.run_group) == ("compress", tiny_lossy_checkpoint.name)
    assert config["compression"]["qualities"] == [0, 100]
    assert history["images"][0]["nrows"] == 4
    (path,) = Path("runs").rglob(Path(history["images"][0]["path"]).name)
    table = json.loads(path.read_text())
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    written = json.loads(Path("out/results.json").read_text())
    for row, expected in zip(rows, written["images"], strict=True):
        for name in ("name", "quality", "file_bits", "psnr_db", "ms_ssim"):
            assert row[name] == expected[name]
        n_pixels = row["height"] * row["width"]
        assert row["file_bpp"] == pytest.approx(row["file_bits"] / n_pixels)
    captions = [f"{name}.png at quality {quality}" for name in "ab" for quality in (0, 100)]
    assert sorted(history["decoded"][0]["captions"]) == captions
    for key in ("histograms/overhead", "histograms/file_bpp"):
        assert sum(history[key][0]["values"]) == 4
    files = sum(path.stat().st_size for path in Path("out").rglob("*.irec"))
    assert summary["total/file_bits"] == 8 * files
    assert summary["total/n_operating_points"] == 2


def test_thumbnails_are_small_and_of_the_decoded_files(pictures, one_rate_checkpoint):
    predict(one_rate_checkpoint, pictures, "wandb")
    _, history, _, _ = logged("runs")
    assert sorted(history["decoded"][0]["captions"]) == ["a.png", "b.png"]
    names = {Path(name).name for name in history["decoded"][0]["filenames"]}
    found = [Image.open(path) for path in Path("runs").rglob("*.png") if path.name in names]
    # Each to the right of its original.
    assert {image.size for image in found} == {(256, 17), (40, 30)}


def test_csv_holds_the_totals_that_there_are(pictures, tiny_lossy_checkpoint):
    predict(tiny_lossy_checkpoint, pictures, "csv", "--coder.qualities=[50]")
    with Path("runs/version_0/metrics.csv").open() as file:
        (row,) = csv.DictReader(file)
    total = json.loads(Path("out/results.json").read_text())["total"]
    for name in ("n_rows", "file_bits", "psnr_db", "file_bpp", "overhead"):
        assert float(row[f"total/{name}"]) == pytest.approx(total[name]), name
    # Images as small as these have no MS-SSIM.
    assert total["ms_ssim"] is None
    assert "total/ms_ssim" not in row


def test_an_exact_image_can_be_logged(tiny_lossy_checkpoint, monkeypatch):
    Path("pictures").mkdir()
    Image.fromarray(np.full((8, 8, 3), 90, np.uint8)).save("pictures/flat.png")
    monkeypatch.setattr("irec.measuring.measure.psnr_db", lambda *_: np.inf)
    for name in ("wandb", "csv"):
        predict(tiny_lossy_checkpoint, "pictures", name, "--coder.qualities=[0,50]")
    assert json.loads(Path("out/results.json").read_text())["total"]["psnr_db"] == "inf"


def test_an_offline_run_of_fit_holds_figures_of_every_lambda_and_pictures():
    Path("photos").mkdir()
    Image.fromarray(picture(200, 200, 3)).save("photos/a.png")
    assert main(fit_arguments("photos", logger("wandb"), steps=4)) == 0
    end_runs()
    _, history, config, _ = logged("runs")
    assert config["resolved"]["model"]["init_args"]["slices"] == [3, 5, 9]
    for key in ("train/bpp", "train/bpp_z1", "train/psnr_db", "train/loss", "lr-Muon/pg1"):
        assert all(value > 0 for value in history[key]), key
    for trade_off in ("0.001", "0.003", "0.01", "0.03", "0.08", "0.2"):
        for figure in ("bpp", "bpp_z1", "bpp_z2", "psnr_db"):
            assert len(history[f"val/{figure}/lambda_{trade_off}"]) == 1
    # Two crops of 64 pixels: each above its reconstruction, and as many samples.
    for key, height in (("images/reconstructions", 2 * 66 + 2), ("images/samples", 66 + 2)):
        (value,) = history[key]
        (path,) = Path("runs").rglob(Path(value["filenames"][0]).name)
        assert Image.open(path).size == (2 * 66 + 2, height)
