import json
from dataclasses import asdict

import pytest
import torch
from PIL import Image

from irec.models.rvae import RVAE, RVAEConfig
from irec.models.transform_vae import TransformVAEConfig
from irec.models.zoo import load_checkpoint
from tests.commands.command_line import irec


@pytest.fixture
def run_checkpoint(tmp_path):
    """What irec fit writes, as far as export reads it."""
    config = {"n_blocks": 1, "hidden_channels": 8, "latent_channels": 2, "likelihood": "logistic"}
    state = RVAE(RVAEConfig(**config)).state_dict()
    path = tmp_path / "run.ckpt"
    torch.save(
        {
            "state_dict": {f"model.{name}": value for name, value in state.items()},
            "hyper_parameters": {**config, "learning_rate": 1e-3},
        },
        path,
    )
    return path


def export(*arguments):
    return irec("export", *arguments)


def test_an_exported_checkpoint_loads_and_compresses(run_checkpoint, run, images, tmp_path):
    Image.new("RGB", (40, 70)).save(tmp_path / "typical.png")
    folder = tmp_path / "checkpoints/mine"
    result = export(run_checkpoint, "-o", folder, "--images", tmp_path / "typical.png")
    assert result.exit_code == 0, result.output
    assert load_checkpoint(folder).fingerprint.hex() in result.stdout
    assert json.loads((folder / "config.json").read_text())["model"]["hidden_channels"] == 8
    result = run("compress", images / "a.png", "--checkpoint", folder, use_checkpoint=False)
    assert result.exit_code == 0, result.stderr


def test_an_existing_checkpoint_is_kept_unless_forced(run_checkpoint, checkpoint, tmp_path):
    before = (checkpoint / "config.json").read_bytes()
    result = export(run_checkpoint, "-o", checkpoint)
    assert result.exit_code == 2
    assert "--force" in result.stderr
    assert (checkpoint / "config.json").read_bytes() == before


def test_what_is_no_checkpoint_is_one_line(tmp_path):
    (tmp_path / "bad.ckpt").write_text("hello")
    for name in ("bad.ckpt", "absent.ckpt"):
        result = export(tmp_path / name, "-o", tmp_path / "out")
        assert result.exit_code == 1
        assert name in result.stderr
        assert len(result.stderr.splitlines()) == 1
        assert not (tmp_path / "out").exists()


def test_a_photograph_is_no_checkpoint(images, tmp_path):
    result = export(images / "a.png", "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert "a.png: not a checkpoint, or damaged" in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "contents",
    [
        [1, 2],
        {"state_dict": {}},
        {"state_dict": {}, "hyper_parameters": None},
        {"state_dict": {}, "hyper_parameters": {"learning_rate": 1e-3}},
        {
            "state_dict": {},
            "hyper_parameters": {**asdict(TransformVAEConfig()), "lambdas": [0.2, 0.1]},
        },
    ],
)
def test_a_file_that_only_looks_like_a_runs_is_one_line(tmp_path, contents):
    path = tmp_path / "run.ckpt"
    torch.save(contents, path)
    result = export(path, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert f"{path}: " in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()
