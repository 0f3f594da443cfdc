"""SIGTERM, by which clusters pre-empt: an end like Ctrl-C's, and not a success."""

import signal
from typing import Any, NoReturn

from lightning.pytorch import Callback, LightningModule, Trainer


class Terminated(KeyboardInterrupt):
    """Somebody asked the process to end; Lightning cleans up as it does after Ctrl-C."""


class EndOnSigterm(Callback):
    """Ends the run where it stands; what it saved at the end of its last epoch is there.

    Lightning's own way is to finish the batch and return as if all were done; predict never
    looks, and several processes wait for one another's answer for ever.
    """

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take SIGTERM over: Lightning has set its own handler just before."""
        signal.signal(signal.SIGTERM, _raise)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """As for fit."""
        signal.signal(signal.SIGTERM, _raise)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """As for fit."""
        signal.signal(signal.SIGTERM, _raise)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """As for fit."""
        signal.signal(signal.SIGTERM, _raise)


def _raise(*_: Any) -> NoReturn:
    # Once: what comes after it would only disturb the cleaning up.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Terminated
