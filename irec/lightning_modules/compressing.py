"""What the LightningModules share: where weights come from, seeds of steps, and predict."""

import copy
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from irec import __version__
from irec.datamodules.batches import ImageBatch, NamedImage
from irec.errors import CheckpointError, InvalidParameterError
from irec.lightning_modules.compression import (
    CoderOptions,
    CompressedBatch,
    CompressedImage,
)
from irec.models.zoo import Checkpoint, load_checkpoint

FindDone = Callable[[Sequence[NamedImage]], list[CompressedImage] | None]


class CompressingModule(LightningModule):
    """A model that trains, resumes, and compresses in predict; a subclass adds the objective.

    Attributes:
        model: the network.
        checkpoint: the exported checkpoint that it came from, if any.
        coder_options: how predict codes; the command line fills them in.
        find_done: looks up what an earlier run made of a batch; the writing callback fills it in.
    """

    model: nn.Module
    codec: Any

    def __init__(
        self,
        architecture: type[nn.Module],
        config: Any,
        checkpoint: str | None,
        compile_model: bool,
        channels_last: bool,
    ) -> None:
        """Build the model, or take it from a checkpoint.

        Args:
            architecture: of the model.
            config: a dataclass; without effect where a checkpoint is named.
            checkpoint: name or folder of an exported checkpoint.
            compile_model: whether training goes through torch.compile.
            channels_last: whether convolutions work on [n, h, w, c] in memory.

        Raises:
            CheckpointError: the checkpoint is absent, damaged, or of another architecture.
        """
        super().__init__()
        self.checkpoint: Checkpoint | None = None
        self.coder_options = CoderOptions()
        self.find_done: FindDone = lambda images: None
        if checkpoint is None:
            self.model = architecture(config)
        else:
            self.checkpoint = load_checkpoint(checkpoint)
            if not isinstance(self.checkpoint.model, architecture):
                raise CheckpointError(
                    f"{checkpoint} holds a {type(self.checkpoint.model).__name__}, "
                    f"{type(self).__name__} needs a {architecture.__name__}: name another with "
                    "--model.checkpoint, or another class with --model"
                )
            self.model = copy.deepcopy(self.checkpoint.model).requires_grad_(True)
        # A run's checkpoint describes its model by itself, wherever the weights came from.
        self.save_hyperparameters(_plain(self.model.config), ignore=["checkpoint"])
        self.compile_model = compile_model
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        # Before the optimiser and DDP look at the weights.
        self.model.to(memory_format=self.memory_format)

    def on_train_start(self) -> None:
        """Compile the model where that was asked for."""
        if self.compile_model:
            self.model.compile()  # in place: the names of the weights stay

    def on_train_batch_start(self, batch: Tensor, batch_idx: int) -> None:
        """Let a step's random numbers depend on seed, step and rank alone.

        No checkpoint holds the state of the generators; so a resumed run draws what an unbroken
        one does, and no two ranks draw the same.
        """
        prime = 1_000_003
        place = (run_seed() * prime + self.global_rank) * prime + self.trainer.global_step
        torch.manual_seed(place % 2**32)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse to go on from a run with a model of another kind or size.

        Raises:
            CheckpointError: saying in what they differ.
        """
        for name, value in _plain(self.model.config).items():
            found = checkpoint["hyper_parameters"].get(name)
            if found != value:
                raise CheckpointError(
                    f"the last checkpoint of this run has {name} {found}, asked for is {value}; "
                    "name another folder for checkpoints, or start over with --ckpt_path null"
                )

    @property
    def shipped(self) -> Checkpoint:
        """The exported checkpoint that files are made with.

        Raises:
            CheckpointError: there is none.
        """
        if self.checkpoint is None:
            raise CheckpointError(
                "predict needs an exported checkpoint: give --model.checkpoint a name or a folder "
                "(irec export makes one from a training run)"
            )
        return self.checkpoint

    @property
    def compression_settings(self) -> dict[str, Any]:
        """Everything that predict's files and figures depend on, as JSON has it."""
        model = {"checkpoint": self.shipped.name, "fingerprint": self.shipped.fingerprint.hex()}
        return {"irec": __version__, **model, **asdict(self.coder_options)}

    @property
    def qualities(self) -> Sequence[float | None]:
        """What each image is compressed at: None alone where a model knows one quality.

        Raises:
            InvalidParameterError: qualities that the model has not got were asked for.
        """
        if self.coder_options.qualities is not None:
            raise InvalidParameterError(
                "--coder.qualities is for lossy models of several rates; this is none"
            )
        return [None]

    def compress(self, images: Sequence[NamedImage]) -> CompressedBatch:
        """Compress a batch and check that each file decodes as it should."""
        raise NotImplementedError

    def predict_step(self, batch: ImageBatch, batch_idx: int) -> CompressedBatch:
        """Compress a batch of images and check that each file decodes to its image."""
        # All or nothing: another batch could give an image another file.
        done = self.find_done(batch.images)
        if done is not None:
            return CompressedBatch(done, batch.failures)
        made = self.compress(batch.images)
        return CompressedBatch(made.images, batch.failures + made.failures)


def run_seed() -> int:
    """Where Lightning's seed_everything leaves the seed, for processes that it starts too."""
    return int(os.environ.get("PL_GLOBAL_SEED", "0"))


def _plain(config: Any) -> dict[str, Any]:
    """A configuration as checkpoints hold it: they know lists, not tuples."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in asdict(config).items()
    }
