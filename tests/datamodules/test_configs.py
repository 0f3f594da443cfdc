"""The fragments in lightning_configs/data name modules and options that exist."""

import importlib
from pathlib import Path

import pytest
import yaml

from irec.datamodules.base import ImageDataModule

CONFIGS = Path(__file__).parents[2] / "lightning_configs"
FRAGMENTS = {path.name: yaml.safe_load(path.read_text()) for path in CONFIGS.glob("data/*.yaml")}
RUNS = {path.name: yaml.safe_load(path.read_text())["data"] for path in CONFIGS.glob("*.yaml")}


def test_every_data_set_has_a_fragment():
    assert FRAGMENTS.keys() == {"cifar10.yaml", "imagenet32.yaml", "clic2018.yaml", "kodak.yaml"}


@pytest.mark.parametrize("name", [*FRAGMENTS, *RUNS])
def test_data_modules_are_made(name):
    assert isinstance(made((FRAGMENTS | RUNS)[name]), ImageDataModule)


def made(config):
    """The object that a configuration names, and those that it is made of."""
    module, _, class_name = config["class_path"].rpartition(".")
    options = dict(config["init_args"])
    if "parts" in options:
        options["parts"] = [made(part) for part in options["parts"]]
    return getattr(importlib.import_module(module), class_name)(**options)
