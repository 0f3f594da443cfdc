"""The kinds of model that checkpoints hold, by the names that stand in their configuration."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from irec.models.rvae import RVAE, RVAEConfig
from irec.models.two_level_vae import TwoLevelVAE, TwoLevelVAEConfig

Model = RVAE | TwoLevelVAE
ModelConfig = RVAEConfig | TwoLevelVAEConfig

_CONFIGS: dict[str, type[ModelConfig]] = {"rvae": RVAEConfig, "two_level_vae": TwoLevelVAEConfig}


def config_of(architecture: str, values: Mapping[str, Any]) -> ModelConfig:
    """A model's configuration from its fields.

    Raises:
        KeyError: there is no such architecture.
        TypeError: a field is missing or unknown.
    """
    return _CONFIGS[architecture](**values)


def recognise(values: Mapping[str, Any]) -> ModelConfig | None:
    """The configuration whose fields are all among `values`, or None."""
    for config in _CONFIGS.values():
        names = [field.name for field in fields(config)]
        if all(name in values for name in names):
            return config(**{name: values[name] for name in names})
    return None


def architecture_of(config: ModelConfig) -> str:
    """The name of a configuration's architecture."""
    return next(name for name, kind in _CONFIGS.items() if isinstance(config, kind))


def build(config: ModelConfig) -> Model:
    """A fresh model."""
    return RVAE(config) if isinstance(config, RVAEConfig) else TwoLevelVAE(config)
