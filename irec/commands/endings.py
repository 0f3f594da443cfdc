"""How commands end: exit codes, errors in one line, signals."""

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

from typer.core import TyperGroup

from irec.errors import IrecError
from irec.terminal import say

EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED, EXIT_TERMINATED = 1, 2, 130, 143


class UsageError(IrecError):
    """The command line asks for something impossible; nothing was done."""


@contextlib.contextmanager
def one_line_errors() -> Iterator[None]:
    """Print what ends a whole command, Ctrl-C too, as one line; leave with its exit code."""
    try:
        yield
    except IrecError as error:
        say(f"irec: {error}", sys.stderr)
        raise SystemExit(EXIT_USAGE if isinstance(error, UsageError) else EXIT_FAILED) from error
    except KeyboardInterrupt:
        say("irec: interrupted", sys.stderr)
        raise SystemExit(EXIT_INTERRUPTED) from None


class Commands(TyperGroup):
    """Commands whose errors are one line each, before typer makes of them what it likes."""

    def invoke(self, ctx: Any) -> Any:
        """Run the one that was named."""
        with one_line_errors():
            return super().invoke(ctx)


def leaving_on_sigterm() -> AbstractContextManager[None]:
    """Make SIGTERM an exception, so that bars and unfinished files are cleared away."""

    def leave(*_: object) -> None:
        raise SystemExit(EXIT_TERMINATED)

    return handling(signal.SIGTERM, leave)


@contextlib.contextmanager
def handling(number: signal.Signals, handler: Any) -> Iterator[None]:
    """Handle a signal in the block, as far as this is the thread that signals come to."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)
