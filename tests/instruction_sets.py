"""Which instruction sets torch can be told to use here: others end in an illegal instruction."""

import pytest
import torch

_ALL = ("default", "avx2", "avx512")
_HERE = torch.backends.cpu.get_cpu_capability().lower()
AVAILABLE = _ALL[: _ALL.index(_HERE) + 1] if _HERE in _ALL else _ALL[:1]


def each_of(*names):
    """Parameters of a test, those that this processor lacks marked as skipped."""
    return [
        pytest.param(
            name,
            marks=pytest.mark.skipif(
                name not in AVAILABLE, reason=f"needs a processor with {name}"
            ),
        )
        for name in names
    ]
