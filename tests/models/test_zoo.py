import json
import shutil

import pytest
import torch

from irec.errors import CheckpointError
from irec.models.checkpoint import (
    WEIGHTS_FILE,
    CodingStatistics,
    fingerprint_of,
    save_checkpoint,
)
from irec.models.sources import PosteriorSampler
from irec.models.zoo import load_checkpoint
from tests.models.lossy_models import small_transform_vae


@pytest.fixture
def copy(tiny_checkpoint, tmp_path):
    return shutil.copytree(tiny_checkpoint, tmp_path / "copy")


def test_a_loaded_model_is_ready_to_run(tiny_checkpoint):
    checkpoint = load_checkpoint(tiny_checkpoint)
    assert checkpoint.name == "tiny"
    assert not checkpoint.model.training
    assert not any(parameter.requires_grad for parameter in checkpoint.model.parameters())
    given = checkpoint.model(torch.zeros(1, 3, 8, 8), PosteriorSampler())
    assert torch.isfinite(given.mean).all()


def test_loading_twice_gives_equal_weights(tiny_checkpoint):
    one, two = (load_checkpoint(tiny_checkpoint).model.state_dict() for _ in range(2))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_model_without_interleaved_slices_comes_back(tmp_path):
    save_checkpoint(tmp_path, small_transform_vae(interleaved=0), CodingStatistics((), ()))
    assert load_checkpoint(tmp_path).model.config.interleaved == 0


def test_any_change_changes_the_fingerprint(copy):
    before = fingerprint_of(copy)
    config = json.loads((copy / "config.json").read_text())
    config["coding"]["usual_rho"][0] += 1
    (copy / "config.json").write_text(json.dumps(config))
    assert fingerprint_of(copy) != before


def damage_config(folder):
    (folder / "config.json").write_text("{")


def drop_section(folder):
    (folder / "config.json").write_text("{}")


def change_size(folder):
    config = json.loads((folder / "config.json").read_text())
    config["model"]["n_blocks"] = 1
    (folder / "config.json").write_text(json.dumps(config))


def unknown_architecture(folder):
    config = json.loads((folder / "config.json").read_text())
    config["architecture"] = "vdvae"
    (folder / "config.json").write_text(json.dumps(config))


def truncate_weights(folder):
    path = folder / WEIGHTS_FILE
    path.write_bytes(path.read_bytes()[:100])


def remove_weights(folder):
    (folder / WEIGHTS_FILE).unlink()


@pytest.mark.parametrize(
    "damage",
    [
        damage_config,
        drop_section,
        change_size,
        unknown_architecture,
        truncate_weights,
        remove_weights,
    ],
)
def test_damage_is_a_clear_error(copy, damage):
    damage(copy)
    with pytest.raises(CheckpointError, match=str(copy)):
        load_checkpoint(copy)


@pytest.mark.parametrize(
    ("where", "name", "value"),
    [
        ("model", "n_blocks", "6"),
        ("model", "n_blocks", 2.5),
        ("model", "n_blocks", True),
        ("model", "n_blocks", 0),
        ("model", "n_blocks", 1_000_000),
        ("model", "hidden_channels", -1),
        ("model", "likelihood", "guess"),
        ("model", "surprise", 1),
        ("coding", "usual_steps", ["many"]),
        ("coding", "usual_steps", 5),
        ("coding", "usual_rho", [99]),
        ("coding", "usual_rho", [1.5]),
        ("coding", "channel_groups", [[0], [2]]),
        ("coding", "channel_groups", [["a"]]),
    ],
)
def test_senseless_settings_are_refused_before_anything_is_built(copy, where, name, value):
    path = copy / "config.json"
    config = json.loads(path.read_text())
    config[where][name] = value
    path.write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"config\.json is damaged: "):
        load_checkpoint(copy)


@pytest.mark.parametrize("lambdas", [5, {}, "0.1", ["a"], [[1]], [True, 2], [float("inf")], [None]])
def test_senseless_numbers_in_lists_are_refused_too(tiny_lossy_checkpoint, tmp_path, lambdas):
    refuse(tiny_lossy_checkpoint, tmp_path / "copy", lambdas=lambdas)


@pytest.mark.parametrize("slices", [[2.5, 5], [1_000_000_000], [True, 5, 9], [-1, 5]])
def test_senseless_counts_in_lists_are_refused_too(tiny_checkpoint, tmp_path, slices):
    refuse(tiny_checkpoint, tmp_path / "copy", "transform_vae", slices=slices)


def refuse(checkpoint, folder, architecture=None, **settings):
    path = shutil.copytree(checkpoint, folder) / "config.json"
    config = json.loads(path.read_text())
    if architecture is not None:
        config |= {"architecture": architecture, "model": {}}
    config["model"] |= settings
    path.write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"config\.json is damaged: "):
        load_checkpoint(folder)


@pytest.mark.parametrize("text", ["[" * 100_000, "[]", "null", '{"architecture": []}'])
def test_a_config_of_another_shape_is_damaged(copy, text):
    (copy / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"config\.json is damaged"):
        load_checkpoint(copy)
