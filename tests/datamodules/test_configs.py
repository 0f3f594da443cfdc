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
    config = (FRAGMENTS | RUNS)[name]
    module, _, class_name = config["class_path"].rpartition(".")
    data = getattr(importlib.import_module(module), class_name)(**config["init_args"])
    assert isinstance(data, ImageDataModule)
