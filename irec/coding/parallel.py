"""Independent searches on several cores of a CPU.

The operations of one search are too small for torch to share out among cores; whole searches are
not. Which core runs a search has no influence on what it finds.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_on_cores(
    function: Callable[[Item], Result], items: Sequence[Item], device: str = "cpu"
) -> list[Result]:
    """Apply `function` to each item, on as many threads as torch has been given.

    Args:
        function: Runs torch operations, which release Python's lock.
        items: Independent of each other.
        device: Type of the device where it runs them. An accelerator's operations are queued by
            the caller's thread alone, as other threads have other queues.

    Returns:
        The results in the order of the items.
    """
    n_threads = min(torch.get_num_threads(), len(items)) if device == "cpu" else 1
    if n_threads <= 1:
        return [function(item) for item in items]

    def run(item: Item) -> Result:
        # A new thread knows nothing of the caller's modes.
        with torch.inference_mode():
            return function(item)

    with (
        _one_thread_per_operation(),
        ThreadPoolExecutor(n_threads, initializer=torch.set_num_threads, initargs=(1,)) as pool,
    ):
        return list(pool.map(run, items))


@contextmanager
def _one_thread_per_operation() -> Iterator[None]:
    """Let torch use one thread per operation; some of its libraries hold this process-wide."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
