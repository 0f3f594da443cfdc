"""The LightningCLI behind ``python -m irec fit|validate|test|predict``."""

import contextlib
import logging
import sys
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from lightning.pytorch import LightningModule
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from irec.callbacks.bitstream_writer import BitstreamWriter
from irec.callbacks.config_saver import RunConfigSaver
from irec.datamodules.base import ImageDataModule
from irec.errors import IrecError
from irec.lightning_modules.compression import CoderOptions
from irec.models.zoo import DEFAULT_CHECKPOINT

SUBCOMMANDS = ("fit", "validate", "test", "predict")

# What `irec predict` does without arguments: the bundled photographs with the shipped model.
_PREDICT_DEFAULTS = {
    "model": {
        "class_path": "irec.lightning_modules.rvae.RVAEModule",
        "init_args": {"checkpoint": DEFAULT_CHECKPOINT},
    },
    "data": {"class_path": "irec.datamodules.samples.SampleImagesDataModule"},
    "trainer.logger": False,
    "trainer.enable_checkpointing": False,
    "trainer.enable_model_summary": False,
}


class IrecCLI(LightningCLI):
    """LightningCLI whose predict compresses: its options are --coder.* and --output_dir."""

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Methods of Trainer that become commands, with the arguments that the CLI fills in."""
        skipped = {"model", "datamodule"}
        return {
            "fit": skipped | {"train_dataloaders", "val_dataloaders"},
            "validate": skipped | {"dataloaders"},
            "test": skipped | {"dataloaders"},
            "predict": skipped | {"dataloaders", "return_predictions"},
        }

    def _prepare_subcommand_parser(
        self, klass: type, subcommand: str, **kwargs: Any
    ) -> LightningArgumentParser:
        parser = super()._prepare_subcommand_parser(klass, subcommand, **kwargs)
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

    def before_predict(self) -> None:
        """Hand the coder's options to the model, and add the callback that writes files."""
        run = self.config["predict"]["ckpt_path"]
        if run is not None:
            raise IrecError(
                "files can be decoded by others with an exported checkpoint only: run "
                f"`irec export {run} -o FOLDER`, then predict with --model.checkpoint FOLDER"
            )
        self.model.coder_options = self.config_init["predict"]["coder"]
        self.trainer.callbacks.append(BitstreamWriter(self.config["predict"]["output_dir"]))  # type: ignore[attr-defined]

    def predict(self, **kwargs: Any) -> None:
        """Compress without keeping every prediction in memory."""
        self.trainer.predict(**kwargs, return_predictions=False)


@contextlib.contextmanager
def _quiet_libraries() -> Iterator[None]:
    """Leave out what Lightning tells about itself; warnings about a user's run stay."""
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(_is_about_the_run)
    with warnings.catch_warnings():
        for message in (".*LeafSpec.*", ".*does not have many workers.*", ".*args parameter is.*"):
            warnings.filterwarnings("ignore", message)
        yield


def _is_about_the_run(record: logging.LogRecord) -> bool:
    return "litlogger" not in record.getMessage() and "TPU available" not in record.getMessage()


def main(arguments: Sequence[str]) -> int:
    """Run a Lightning command.

    Args:
        arguments: the command (one of SUBCOMMANDS) and its options.

    Returns:
        Exit code: 0, or 1 with one line on stderr.
    """
    with _quiet_libraries():
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
                args=list(arguments),
            )
        except Exception as error:
            cause = _irec_error(error)
            if cause is None:
                raise
            print(f"irec: {cause}", file=sys.stderr)
            return 1
    return 0


def _irec_error(error: BaseException | None) -> IrecError | None:
    """The IrecError behind an exception: the parser wraps what a constructor raises."""
    while error is not None and not isinstance(error, IrecError):
        error = error.__cause__ or error.__context__
    return error
