"""How far a long computation is: what computes tells, who waits listens; a leaf of the package."""

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar

Listener = Callable[[str, float], None]
"""Takes what is being done, such as "encoding", and the share of it that is done, 0 to 1."""

_LISTENER: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextlib.contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Hear of whatever this thread computes in the block."""
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)


class Progress:
    """Tells the listener, if there is one, how much of a computation is done."""

    def __init__(self, what: str, total: int) -> None:
        """Begin.

        Args:
            what: Is done, such as "encoding".
            total: All of the work, in any unit.
        """
        self._what = what
        self._total = total
        self._done = 0
        self._listener = _LISTENER.get()

    def add(self, work: int) -> None:
        """Count work that is done, in the unit of the total."""
        self._done += work
        if self._listener is not None:
            self._listener(self._what, min(1.0, self._done / self._total))
