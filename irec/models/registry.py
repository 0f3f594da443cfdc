"""The kinds of model: one line here, and its own files, are all that a new one needs.

A kind's codec lives in a layer above the models, so it is named rather than imported, and found
when it is wanted. Which row of results an image gets follows from the codec's profile.
"""

import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from irec.models.lattice_rvae import LatticeRVAE, LatticeRVAEConfig
from irec.models.rvae import RVAE, RVAEConfig
from irec.models.transform_vae import TransformVAE, TransformVAEConfig
from irec.models.two_level_vae import TwoLevelVAE, TwoLevelVAEConfig

Model = RVAE | LatticeRVAE | TwoLevelVAE | TransformVAE
ModelConfig = RVAEConfig | LatticeRVAEConfig | TwoLevelVAEConfig | TransformVAEConfig


@dataclass(frozen=True)
class ModelKind:
    """What belongs to a kind of model.

    Attributes:
        config: Dataclass of its settings; no two kinds have the same fields.
        network: Built from the config alone.
        codec: Name of the subclass of :class:`irec.codec.Codec` that compresses with it.
    """

    config: type[ModelConfig]
    network: type[Model]
    codec: str

    def resolve_codec(self) -> Any:
        """Return the codec's class."""
        return pkgutil.resolve_name(self.codec)


KINDS: Mapping[str, ModelKind] = {
    "rvae": ModelKind(RVAEConfig, RVAE, "irec.codec.lossless:LosslessCodec"),
    "lattice_rvae": ModelKind(LatticeRVAEConfig, LatticeRVAE, "irec.codec.lattice:LatticeCodec"),
    "two_level_vae": ModelKind(TwoLevelVAEConfig, TwoLevelVAE, "irec.codec.lossy:LossyCodec"),
    "transform_vae": ModelKind(TransformVAEConfig, TransformVAE, "irec.codec.lossy:LossyCodec"),
}
"""By the name that stands in a checkpoint's configuration."""


def kind_of(config: Any) -> ModelKind:
    """Return the kind that a configuration is of."""
    return KINDS[name_of(config)]


def name_of(config: Any) -> str:
    """Return the name of a configuration's kind."""
    return next(name for name, kind in KINDS.items() if type(config) is kind.config)


def recognise(values: Mapping[str, Any]) -> ModelConfig | None:
    """Return the configuration whose fields are all among `values`, or None."""
    for kind in KINDS.values():
        names = [field.name for field in fields(kind.config)]
        if all(name in values for name in names):
            return kind.config(**{name: values[name] for name in names})
    return None


def build(config: ModelConfig) -> Model:
    """Return a fresh model."""
    return kind_of(config).network(config)  # type: ignore[arg-type]
