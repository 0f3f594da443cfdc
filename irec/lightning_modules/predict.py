"""predict: a run of compression, dealt to devices by Lightning."""

from pathlib import Path

from lightning.pytorch import LightningModule

from irec.datamodules.batches import ImageBatch
from irec.defaults import DEFAULT_CHECKPOINT
from irec.errors import IrecError
from irec.measuring.compression import CoderOptions, CompressedBatch
from irec.measuring.run import CompressionRun
from irec.metrics.set_means import gather
from irec.models.checkpoint import Checkpoint
from irec.models.zoo import load_checkpoint


class ShippedModel(LightningModule):
    """Any exported checkpoint, lossless or lossy: what predict takes where no class is named."""

    def __init__(self, checkpoint: str | None = None) -> None:
        """Load it.

        Args:
            checkpoint: Name or folder; rvae-photo where it is None.
        """
        super().__init__()
        self.shipped: Checkpoint = load_checkpoint(checkpoint or DEFAULT_CHECKPOINT)


class PredictModule(LightningModule):
    """Compresses each batch that it is given; all else is the run's.

    Attributes:
        shipped: The checkpoint.
        run: From the start of predict.
    """

    run: CompressionRun

    def __init__(
        self, shipped: Checkpoint, options: CoderOptions, output_dir: Path, quiet: bool = False
    ) -> None:
        """Say what is compressed with, how, and where to; as for :class:`CompressionRun`."""
        super().__init__()
        self.shipped = shipped
        self._options = options
        self._output_dir = output_dir
        self._quiet = quiet

    def on_predict_start(self) -> None:
        """Set the coder up on this rank's device."""
        codec = self._options.codec(self.shipped, self.device)
        self.run = CompressionRun(
            codec, self._options, self._output_dir, rank=self.global_rank, quiet=self._quiet
        )

    def predict_step(self, batch: ImageBatch, batch_idx: int) -> CompressedBatch:
        """Compress a batch."""
        return self.run.do(batch)

    def on_predict_epoch_end(self) -> None:
        """Write the table of all ranks; each of them learns whether an image failed."""
        self.run.finish(gather, self.trainer.is_global_zero)

    def raise_failures(self) -> None:
        """End with an error where an image failed; the others are done, and each was reported.

        Raises:
            IrecError: An image could not be compressed.
        """
        # Of several processes one is enough: Lightning would kill the others for it.
        if self.run.failed and self.trainer.is_global_zero:
            raise IrecError(f"{len(self.run.failed)} of the images could not be compressed")
