"""Logs what predict compressed: totals to every logger, tables and pictures to wandb."""

from dataclasses import asdict, fields
from typing import Any

import numpy as np
import wandb
from jaxtyping import UInt8
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import WandbLogger
from PIL import Image

from irec.callbacks.bitstream_writer import gather
from irec.codec import Codec
from irec.evaluation.results import LossyResult, Row, totals
from irec.lightning_modules.compression import CompressedBatch

_THUMBNAIL_SIDE = 128


class CompressionLogger(Callback):
    """Collects rows and a few decoded images of all ranks; rank 0 logs them at the end."""

    def __init__(self, n_thumbnails: int = 16) -> None:
        """Say how many images are shown.

        Args:
            n_thumbnails: at most so many of each process; they are decoded from their files.
        """
        self.n_thumbnails = n_thumbnails
        self._rows: list[Row] = []
        self._thumbnails: list[tuple[str, UInt8[np.ndarray, "h w c"]]] = []

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: CompressedBatch,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the batch's rows, and thumbnails of the first images."""
        codec: Codec = pl_module.codec  # type: ignore[assignment]
        for image in outputs.images:
            self._rows.append(image.result)
            if len(self._thumbnails) < self.n_thumbnails:
                self._thumbnails.append(
                    (_caption(image.result), _thumbnail(codec.decode(image.data)))
                )

    def on_predict_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log."""
        rows = sorted(gather(self._rows), key=lambda row: row.identity)
        thumbnails = dict(gather(self._thumbnails))
        if not (rows and trainer.is_global_zero):
            return
        summed = totals(rows)
        for logger in trainer.loggers:
            logger.log_hyperparams({"compression": pl_module.compression_settings})
            if isinstance(logger, WandbLogger):
                logger.experiment.log(_as_wandb(rows, thumbnails))
                logger.experiment.summary.update({f"total/{k}": v for k, v in summed.items()})
            else:
                known = {f"total/{k}": float(v) for k, v in summed.items() if v is not None}
                logger.log_metrics(known)
            logger.save()


def _as_wandb(rows: list[Row], thumbnails: dict[str, UInt8[np.ndarray, "h w c"]]) -> dict[str, Any]:
    derived = [totals([row]) for row in rows]
    rates: tuple[str, ...] = ("file_bpp", "ideal_bpp", "overhead")
    if not isinstance(rows[0], LossyResult):
        rates = ("file_bpd", "ideal_bpd", "overhead", "coder_loss", "png_bpd", "webp_bpd")
    columns = [field.name for field in fields(rows[0])] + list(rates)
    table = wandb.Table(columns=[*columns, "decoded"])
    for row, rate in zip(rows, derived, strict=True):
        shown = thumbnails.get(_caption(row))
        picture = None if shown is None else wandb.Image(shown, caption=_caption(row))
        table.add_data(*asdict(row).values(), *(rate[name] for name in rates), picture)
    return {
        "images": table,
        "histograms/overhead": wandb.Histogram([rate["overhead"] for rate in derived]),
        f"histograms/{rates[0]}": wandb.Histogram([rate[rates[0]] for rate in derived]),
        "decoded": [wandb.Image(shown, caption=name) for name, shown in thumbnails.items()],
    }


def _caption(row: Row) -> str:
    name, quality = row.identity
    return name if quality is None else f"{name} at quality {quality:g}"


def _thumbnail(pixels: UInt8[np.ndarray, "_h _w _c"]) -> UInt8[np.ndarray, "h w c"]:
    """At most so many pixels high and wide; grey stays grey, alpha is dropped."""
    grey = pixels.shape[2] <= 2
    image = Image.fromarray(pixels[:, :, 0] if grey else np.ascontiguousarray(pixels[:, :, :3]))
    image.thumbnail((_THUMBNAIL_SIDE, _THUMBNAIL_SIDE))
    return np.atleast_3d(np.asarray(image))
