"""PyTorch as it comes: what a caller has set elsewhere must not reach a file's bytes."""

import contextlib
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def neutral_torch() -> Iterator[None]:
    """Run with float32 and the processor as defaults, and without autocast; restores all of it.

    A function decorated with ``@neutral_torch()`` runs so whenever it is called.
    """
    dtype = torch.get_default_dtype()
    with contextlib.ExitStack() as stack:
        for device in ("cpu", "cuda"):
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        # Costs time in each call of torch, so only where it is needed.
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            torch.set_default_dtype(dtype)


@contextlib.contextmanager
def own_randomness() -> Iterator[None]:
    """Keep draws from torch's global generator, such as fresh weights, from a caller's own."""
    with torch.random.fork_rng(devices=[]):
        yield
