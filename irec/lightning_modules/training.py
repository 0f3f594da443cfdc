"""What models share while they are trained: weights, seeds of steps, figures of whole sets."""

import copy
from dataclasses import asdict
from typing import Any, ClassVar

import torch
import torch.distributed
from jaxtyping import UInt8
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn

from irec.datamodules.base import run_seed
from irec.errors import CheckpointError, InvalidParameterError, TrainingError
from irec.metrics.set_means import SetMeans
from irec.models.checkpoint import Checkpoint
from irec.models.zoo import load_checkpoint

_PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")
_PRIME = 1_000_003


class TrainingModule(LightningModule):
    """A model that trains, resumes and is evaluated; a subclass adds the objective.

    Attributes:
        model: The network.
        monitored: The figure of validation that says how good the model is; lower is better.
    """

    model: nn.Module
    monitored: ClassVar[str] = "val/loss"

    def __init__(
        self,
        architecture: type[nn.Module],
        config: Any,
        checkpoint: str | None = None,
        compile_model: bool = False,
        channels_last: bool = False,
    ) -> None:
        """Build the model, or take it from a checkpoint.

        Args:
            architecture: Of the model.
            config: A dataclass; without effect where a checkpoint is named.
            checkpoint: Name or folder of an exported checkpoint to start from; it decides the
                model's size, likelihood or rates, and first weights. predict needs one.
            compile_model: Whether training goes through torch.compile, which takes a minute first.
            channels_last: Whether convolutions work on [n, h, w, c] in memory: faster on GPUs
                with tensor cores, and in half precision.

        Raises:
            CheckpointError: The checkpoint is absent, damaged, or of another architecture.
        """
        super().__init__()
        # That the model came from, if any.
        self.checkpoint: Checkpoint | None = None
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
        self._means: dict[int, SetMeans] = {}
        self._losses: Tensor | None = None

    def setup(self, stage: str) -> None:
        """Refuse what the models cannot do.

        Raises:
            InvalidParameterError: Weights were to be kept in another precision than float32.
        """
        if self.trainer.precision not in _PRECISIONS:
            raise InvalidParameterError(
                f"--trainer.precision {self.trainer.precision}: weights stay in float32, so it is "
                f"one of {', '.join(_PRECISIONS)}"
            )

    def on_train_start(self) -> None:
        """Compile the model where that was asked for."""
        if self.compile_model:
            # In place: the names of the weights stay. For each shape by itself: sizes that are
            # symbols break the layers whose shapes are computed from them.
            self.model.compile(dynamic=False)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Let a step's random numbers depend on seed, place in the run, and rank alone.

        No checkpoint holds the state of the generators; so a resumed run draws what an unbroken
        one does, and no two ranks or accumulated batches draw the same.
        """
        _seed(run_seed(), self.global_rank, self.trainer.current_epoch, batch_idx)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Stop a run that has gone astray, before it is saved.

        Raises:
            TrainingError: A loss since the last look was NaN or infinite.
        """
        # Zero times NaN or infinity is NaN, and stays so; nothing waits for a GPU here.
        bad = outputs["loss"].detach() * 0.0
        self._losses = bad if self._losses is None else self._losses + bad
        every = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
        if not (self.trainer.is_last_batch or (batch_idx + 1) % every == 0):
            return
        is_good, self._losses = bool(torch.isfinite(self._losses)), None
        if not self.trainer.strategy.reduce_boolean_decision(is_good, all=True):
            raise TrainingError(
                f"the loss became NaN or infinite before step {self.trainer.global_step}; the last "
                "checkpoint is of an epoch before that: lower --model.learning_rate or "
                "--trainer.gradient_clip_val, and start the same command again"
            )

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Log the gradient's norm, before it is clipped."""
        if self.trainer.global_step % self.trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            gradients = [value.grad for value in self.parameters() if value.grad is not None]
            self.log("train/gradient_norm", torch.nn.utils.get_total_norm(gradients))

    def annealed(self, first: float) -> float:
        """Return a factor that rises from `first` to one over the first `anneal_steps` steps."""
        n_steps = self.hparams["anneal_steps"]
        done = min(1.0, self.global_step / n_steps) if n_steps else 1.0
        return first + (1.0 - first) * done

    def evaluate(self, batch: UInt8[Tensor, "n 3 h w"]) -> dict[str, Tensor]:
        """Return named figures, each a mean over the images of a batch."""
        raise NotImplementedError

    def validation_step(
        self, batch: UInt8[Tensor, "n 3 h w"], batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Add what :meth:`evaluate` finds to the means over the set, on any number of processes."""
        trainer = self.trainer
        loaders: Any = trainer.test_dataloaders if trainer.testing else trainer.val_dataloaders
        loader = loaders[dataloader_idx] if isinstance(loaders, list) else loaders
        # Items of sets are whole batches, dealt to the ranks in turn.
        number = batch_idx * trainer.world_size + self.global_rank
        # Posterior noise depends on the batch's place in the set, whichever rank has it.
        _seed(run_seed(), dataloader_idx, number)
        figures = self.evaluate(batch)
        means = self._means.setdefault(dataloader_idx, SetMeans())
        # Where batches do not come out even, some rank repeats one, which counts once.
        if number < len(loader.dataset):
            for name, mean in figures.items():
                means.add(name, mean, len(batch))

    test_step = validation_step

    @staticmethod
    def step_by_step(
        optimizer: torch.optim.Optimizer, scheduler: torch.optim.lr_scheduler.LRScheduler
    ) -> OptimizerLRSchedulerConfig:
        """Return what Lightning takes for a learning rate that changes with every step."""
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }

    def on_validation_epoch_end(self) -> None:
        """Log the means over each set, and over the sets where there are several."""
        stage = "test" if self.trainer.testing else "val"
        sets = {which: means.compute() for which, means in sorted(self._means.items())}
        for name in dict.fromkeys(name for means in sets.values() for name in means):
            found = {which: means[name] for which, means in sets.items() if name in means}
            prog_bar = f"val/{name}" == self.monitored
            self.log(f"{stage}/{name}", sum(found.values()) / len(found), prog_bar=prog_bar)
            for which, mean in found.items() if len(sets) > 1 else ():
                self.log(f"{stage}/{name}/set_{which}", mean)
        self._means = {}

    on_test_epoch_end = on_validation_epoch_end

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse to go on from a run with a model of another kind or size.

        Raises:
            CheckpointError: Saying in what they differ.
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
            CheckpointError: There is none.
        """
        if self.checkpoint is None:
            raise CheckpointError(
                "predict needs an exported checkpoint, others could not decode its files: make one "
                "with `irec export RUN/checkpoints/last.ckpt -o FOLDER`, then add "
                "--model.checkpoint FOLDER"
            )
        return self.checkpoint

    def same_on_all_ranks(self) -> None:
        """Give every rank the first one's weights, where all came to the same but for rounding."""
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            for value in self.model.state_dict().values():
                torch.distributed.broadcast(value, src=0)

    @staticmethod
    def mean_over_ranks(values: Tensor) -> Tensor:
        """Return what one process with the batches of all would find, without a gradient."""
        values = values.detach().clone()
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.all_reduce(values)
            values /= torch.distributed.get_world_size()
        return values


def _seed(*place: int) -> None:
    mixed = 0
    for number in place:
        mixed = mixed * _PRIME + number
    torch.manual_seed(mixed % 2**32)


def _plain(config: Any) -> dict[str, Any]:
    """Return a configuration as checkpoints hold it: they know lists, not tuples."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in asdict(config).items()
    }
