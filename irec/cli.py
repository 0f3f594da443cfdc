"""The LightningCLI behind ``python -m irec fit|validate|test|predict``."""

import contextlib
import errno
import logging
import sys
import warnings
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch import LightningModule
from lightning.pytorch.callbacks import LearningRateMonitor, ProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from irec.callbacks.training import (
    EndOnSigterm,
    EpochBar,
    EpochLines,
    RunCheckpoint,
    RunConfigSaver,
    Terminated,
)
from irec.datamodules.base import ImageDataModule
from irec.errors import CheckpointError, IrecError
from irec.lightning_modules.predict import PredictModule
from irec.measuring.compression import CoderOptions
from irec.models.checkpoint import read_run
from irec.terminal import say

if TYPE_CHECKING:
    from irec.callbacks.loggers import AutoOfflineWandbLogger

_EXIT_FAILED, _EXIT_INTERRUPTED, _EXIT_TERMINATED = 1, 130, 143
# One process may have much less to compress than another, and waits for it.
_LONGEST_WAIT = timedelta(days=30)

# What `irec predict` does without arguments: the bundled photographs with the shipped model. Where
# another class is named, it inherits the values of options of the same names: these classes have
# none that would change what another does.
_PREDICT_DEFAULTS = {
    "model": {"class_path": "irec.lightning_modules.predict.ShippedModel"},
    "data": {"class_path": "irec.datamodules.samples.SampleImagesDataModule"},
    "trainer.logger": False,
    "trainer.enable_model_summary": False,
    # A line for each image takes its place.
    "trainer.enable_progress_bar": False,
}


class IrecCLI(LightningCLI):
    """LightningCLI whose predict compresses: its options are --coder.* and --output_dir."""

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Methods of Trainer that become commands, with the arguments that the CLI fills in."""
        filled_in = LightningCLI.subcommands()
        filled_in["predict"].add("return_predictions")
        return filled_in

    def _prepare_subcommand_parser(
        self, klass: type, subcommand: str, **kwargs: Any
    ) -> LightningArgumentParser:
        parser = super()._prepare_subcommand_parser(klass, subcommand, **kwargs)
        parser.add_argument("--quiet", action="store_true", help="Print results or failures only.")
        if subcommand == "predict":
            parser.add_class_arguments(CoderOptions, "coder")
            parser.add_argument(
                "--output_dir",
                type=str,
                default="compressed",
                help="Folder for .irec files, results.csv and results.json.",
            )
            parser.set_defaults(_PREDICT_DEFAULTS)
        return parser

    def _parse_ckpt_path(self) -> None:
        """Leave the configuration as the user gave it.

        Lightning would let the hyper-parameters in a run's checkpoint override the command line.
        """

    def instantiate_trainer(self, **kwargs: Any) -> Any:
        """Show progress as a bar to people, and as lines to a pipe or a file."""
        config = self.config_init[self.subcommand].trainer
        config.callbacks = [*(config.callbacks or []), EndOnSigterm()]
        if config.logger is False:  # or these would complain
            config.callbacks = [
                one for one in config.callbacks if not isinstance(one, LearningRateMonitor)
            ]
        shows_progress = config.enable_progress_bar is not False
        if self.config[self.subcommand].quiet:
            kwargs |= {"enable_progress_bar": False, "enable_model_summary": False}
        elif shows_progress and not sys.stdout.isatty():
            kwargs["enable_progress_bar"] = False
            if self.subcommand == "fit":
                config.callbacks.append(EpochLines())
        elif shows_progress and not any(isinstance(one, ProgressBar) for one in config.callbacks):
            config.callbacks.append(EpochBar())
        if self.subcommand != "predict":
            return super().instantiate_trainer(**kwargs)
        # Codecs compute in the precision that their files need, whatever a run was trained in.
        trainer = super().instantiate_trainer(**kwargs, precision="32-true")
        if isinstance(trainer.strategy, DDPStrategy):
            trainer.strategy._timeout = _LONGEST_WAIT
        return trainer

    def before_fit(self) -> None:
        """Let a resumed run be the same run for wandb, too."""
        ckpt_path = self.config["fit"].ckpt_path
        self._check_named_run()
        is_resumed = ckpt_path is not None and (ckpt_path != "last" or self._has_last_checkpoint())
        for logger in self._wandb_loggers():
            logger.describe("train")
            for saver in self._savers() if self.trainer.is_global_zero else ():
                logger.continue_run(Path(str(saver.dirpath)), is_resumed)

    def before_validate(self) -> None:
        """Make sure that there are trained weights to measure.

        Raises:
            CheckpointError: There are none.
        """
        self._check_named_run()
        for logger in self._wandb_loggers():
            logger.describe("evaluate")
        config = self.config[self.subcommand]
        if config.ckpt_path not in (None, "last"):
            return
        if self.model.checkpoint is not None:
            config.ckpt_path = None
        elif config.ckpt_path is None or not self._has_last_checkpoint():
            raise CheckpointError(
                f"{self.subcommand} has no trained weights: give --ckpt_path RUN/checkpoints/"
                "last.ckpt of a run, or --model.checkpoint a name or a folder"
            )

    before_test = before_validate

    def _check_named_run(self) -> None:
        """Raise a CheckpointError where --ckpt_path names a file that is no run's.

        Lightning's other words, addresses and folders of shards are its own to look at.
        """
        ckpt_path = self.config[self.subcommand].ckpt_path
        if ckpt_path == "best":
            raise CheckpointError("--ckpt_path best: name the file, RUN/checkpoints/NAME.ckpt")
        is_word = ckpt_path in (None, "last", "hpc") or ":" in ckpt_path or ckpt_path == "registry"
        if not is_word and not Path(ckpt_path).is_dir():
            read_run(Path(ckpt_path))

    def _has_last_checkpoint(self) -> bool:
        """Whether the run whose configuration this is has saved anything."""
        return any((Path(str(saver.dirpath)) / "last.ckpt").is_file() for saver in self._savers())

    def _savers(self) -> list[RunCheckpoint]:
        callbacks = self.trainer.callbacks  # type: ignore[attr-defined]
        return [one for one in callbacks if isinstance(one, RunCheckpoint)]

    def _wandb_loggers(self) -> "list[AutoOfflineWandbLogger]":
        if not self.trainer.loggers:
            return []
        # Imported where somebody logs: wandb takes a second.
        from irec.callbacks.loggers import AutoOfflineWandbLogger

        return [one for one in self.trainer.loggers if isinstance(one, AutoOfflineWandbLogger)]

    def before_predict(self) -> None:
        """Make a run of compression out of model and options."""
        config = self.config["predict"]
        # "last" stands in the configurations of training runs, which serve predict too.
        if config.ckpt_path not in (None, "last"):
            raise IrecError(
                "files can be decoded by others with an exported checkpoint only: run "
                f"`irec export {config.ckpt_path} -o FOLDER`, then predict with "
                "--model.checkpoint FOLDER"
            )
        options: CoderOptions = self.config_init["predict"]["coder"]
        output_dir = Path(config.output_dir)
        self.model = PredictModule(self.model.shipped, options, output_dir, config.quiet)
        if self.trainer.loggers:
            self._log_compression()

    def _log_compression(self) -> None:
        """Make predict's figures a run of its own, in one group with the model's training."""
        from irec.callbacks.compression_logger import CompressionLogger

        resolved = self.config["predict"].as_dict()
        self.trainer.callbacks.append(CompressionLogger(resolved))  # type: ignore[attr-defined]
        for logger in self._wandb_loggers():
            logger.describe("compress", group=self.model.shipped.name)

    def predict(self, **kwargs: Any) -> None:
        """Compress without keeping every prediction in memory."""
        kwargs["ckpt_path"] = None
        self.trainer.predict(**kwargs, return_predictions=False)

    def after_predict(self) -> None:
        """End with an error where an image failed."""
        self.model.raise_failures()


@contextlib.contextmanager
def _quiet_libraries(is_quiet: bool) -> Iterator[None]:
    """Leave out what Lightning tells about itself; warnings about a user's run stay."""
    loggers = [logging.getLogger(f"lightning.{part}") for part in ("pytorch", "fabric")]
    levels = [logger.level for logger in loggers]
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(_is_about_the_run)
    for logger in loggers if is_quiet else ():
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            for message in (
                ".*LeafSpec.*",
                ".*does not have many workers.*",
                ".*args parameter is.*",
                # fit goes on from the last checkpoint; the first start has none.
                ".*there is no last checkpoint available.*",
                ".*Checkpoint directory .* exists and is not empty.*",
            ):
                warnings.filterwarnings("ignore", message)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _is_about_the_run(record: logging.LogRecord) -> bool:
    message = record.getMessage()
    return not any(
        word in message for word in ("litlogger", "litmodels", "TPU available", "KeyboardInterrupt")
    )


def main(arguments: Sequence[str]) -> int:
    """Run a Lightning command.

    Args:
        arguments: The command and its options.

    Returns:
        Exit code: 0, 1 with one line on stderr, 130 after Ctrl-C, or 143 after SIGTERM.
    """
    with _quiet_libraries("--quiet" in arguments):
        try:
            IrecCLI(
                LightningModule,
                ImageDataModule,
                subclass_mode_model=True,
                subclass_mode_data=True,
                save_config_callback=RunConfigSaver,
                save_config_kwargs={"save_to_log_dir": False},
                auto_configure_optimizers=False,
                # An int: `true` would mean 0 without saying so.
                seed_everything_default=1,
                # A mistyped option is told in a line, not after a page of all the others.
                parser_kwargs={
                    name: {"usage": f"irec {name} [--config FILE] [options]"}
                    for name in IrecCLI.subcommands()
                },
                args=list(arguments),
            )
        except SystemExit as error:
            # Lightning turns Ctrl-C into an exit of its own.
            if not isinstance(error.__context__, KeyboardInterrupt):
                raise
            terminated = isinstance(error.__context__, Terminated)
            if getattr(rank_zero_only, "rank", 0) == 0:
                say(f"irec: {'terminated' if terminated else 'interrupted'}", sys.stderr)
            return _EXIT_TERMINATED if terminated else _EXIT_INTERRUPTED
        except Exception as error:
            cause = _expected_error(error)
            if cause is None:
                raise
            reason = "the disk is full" if isinstance(cause, OSError) else str(cause)
            say(f"irec: {' '.join(reason.split())}", sys.stderr)
            return _EXIT_FAILED
    return 0


def _expected_error(error: BaseException | None) -> BaseException | None:
    """Return what is behind an exception if it is the user's to mend; parsers wrap others."""
    while error is not None:
        is_disk_full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        if isinstance(error, IrecError | MisconfigurationException) or is_disk_full:
            return error
        error = error.__cause__ or error.__context__
    return None
