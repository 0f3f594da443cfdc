"""What callers of the package give, in one form; an error that names what is of no use."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from irec.errors import InvalidParameterError


def checked_bytes(data: Any) -> bytes:
    """Return the bytes of a file, from whatever holds bytes."""
    if not isinstance(data, bytes | bytearray | memoryview):
        raise InvalidParameterError(
            f"a {type(data).__name__}, but a file's bytes are needed, as open(path, 'rb').read() "
            "gives them"
        )
    return bytes(data)


def checked_number(value: Any, name: str) -> float | None:
    """Return a number, or None."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise InvalidParameterError(f"{name} is {value!r}, but a number is needed")
    return float(value)


def checked_checkpoint(checkpoint: Any) -> str | None:
    """Return a checkpoint's name or path, or None."""
    if checkpoint is not None and not isinstance(checkpoint, str | Path):
        raise InvalidParameterError(
            f"checkpoint is {checkpoint!r}, but a name, or the path of a folder, is needed"
        )
    return None if checkpoint is None else str(checkpoint)


def checked_device(device: Any) -> torch.device:
    """Return a device that is there and that irec computes on."""
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise InvalidParameterError(f"device is {device!r}; 'cpu' and 'cuda' are known") from error
    if found.type not in ("cpu", "cuda"):
        raise InvalidParameterError(f"device is {device!r}; irec computes on 'cpu' or 'cuda'")
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise InvalidParameterError(
            f"device is {device!r}, but PyTorch finds {torch.cuda.device_count()} GPUs that it can "
            "use; take 'cpu'"
        )
    return found
