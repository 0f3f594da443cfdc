"""Which checkpoints are installed, and the one that a name, a path or a file asks for."""

from dataclasses import dataclass
from pathlib import Path

from irec.errors import CheckpointError, ModelMismatchError
from irec.models.checkpoint import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    Checkpoint,
    fingerprint_of,
    read_checkpoint,
    read_config,
)

_PACKAGE = Path(__file__).resolve().parent.parent
# An installed package carries the checkpoints inside; a clone has them at its top level.
_FOLDERS = (_PACKAGE / "checkpoints", _PACKAGE.parent / "checkpoints")


def _shipped() -> dict[str, Path]:
    """Folders of the checkpoints that come with irec, by name."""
    return {
        config.parent.name: config.parent
        for folder in reversed(_FOLDERS)
        for config in sorted(folder.glob(f"*/{CONFIG_FILE}"))
    }


@dataclass(frozen=True)
class Installed:
    """What is known of a checkpoint without loading it.

    Attributes:
        name: Of its folder.
        architecture: Name of its kind of model.
        fingerprint: As in :class:`Checkpoint`.
        n_bytes: Of its weights.
    """

    name: str
    architecture: str
    fingerprint: bytes
    n_bytes: int


def installed_checkpoints() -> list[Installed]:
    """Return what there is to know of the checkpoints that come with irec, by name.

    Raises:
        CheckpointError: One is incomplete or damaged.
    """
    return [
        Installed(
            name,
            architecture=read_config(folder)["architecture"],
            fingerprint=fingerprint_of(folder),
            n_bytes=(folder / WEIGHTS_FILE).stat().st_size,
        )
        for name, folder in sorted(_shipped().items())
    ]


def load_checkpoint(name_or_path: str | Path) -> Checkpoint:
    """Load a checkpoint.

    Args:
        name_or_path: Of one of :func:`installed_checkpoints`, or the path of a checkpoint folder.

    Raises:
        CheckpointError: There is none of that name, or its files are incomplete or damaged.
    """
    folder, shipped = Path(name_or_path), _shipped()
    if (folder / CONFIG_FILE).is_file():
        return read_checkpoint(folder)
    if str(name_or_path) in shipped:
        return read_checkpoint(shipped[str(name_or_path)])
    raise CheckpointError(
        f"no checkpoint {str(name_or_path)!r}: give the path of a folder with {CONFIG_FILE}"
        f" and {WEIGHTS_FILE}, or one of: {', '.join(shipped) or '(none is installed)'}"
    )


def find_checkpoint(wanted: bytes) -> Checkpoint:
    """Load the installed checkpoint that a file's fingerprint names.

    Raises:
        ModelMismatchError: No installed checkpoint has this fingerprint.
    """
    for folder in _shipped().values():
        if fingerprint_of(folder) == wanted:
            return read_checkpoint(folder)
    raise ModelMismatchError(
        f"the file was made with a model (fingerprint {wanted.hex()}) that is not installed; "
        "name its checkpoint folder with --checkpoint"
    )
