"""Logs what predict compressed: totals to every logger, tables and pictures to wandb."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

import numpy as np
import wandb
from jaxtyping import UInt8
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import WandbLogger
from PIL import Image

from irec.datamodules.image_files import as_rgb
from irec.evaluation.lossy_results import operating_points
from irec.evaluation.results import LossyResult, Row, totals
from irec.lightning_modules.predict import PredictModule
from irec.measuring.compression import CompressedBatch
from irec.metrics.set_means import gather

_THUMBNAIL_SIDE = 128
# At most so many of each process; they are decoded from their files.
_N_THUMBNAILS = 16

Picture = UInt8[np.ndarray, "h w c"]


class CompressionLogger(Callback):
    """Collects a few images of all ranks, originals beside what files decode to; rank 0 logs."""

    def __init__(self, resolved: Mapping[str, Any]) -> None:
        """Say what was run: `resolved` is the whole configuration, data set included."""
        self.resolved = dict(resolved)
        self._pairs: list[tuple[str, Picture]] = []

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: PredictModule,  # type: ignore[override]
        outputs: CompressedBatch,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep thumbnails of the first images."""
        for image in outputs.images[: _N_THUMBNAILS - len(self._pairs)]:
            decoded = pl_module.run.codec.decode(image.data)
            pair = np.hstack([_thumbnail(image.pixels), _thumbnail(decoded)])
            self._pairs.append((_caption(image.result), pair))

    def on_predict_end(self, trainer: Trainer, pl_module: PredictModule) -> None:  # type: ignore[override]
        """Log."""
        pairs = dict(gather(self._pairs))
        run = pl_module.run
        if not trainer.is_global_zero:
            return
        summed = totals(run.results) if run.results else {}
        settings = {"compression": run.settings, "resolved": self.resolved}
        for logger in trainer.loggers:
            logger.log_hyperparams(settings)
            if isinstance(logger, WandbLogger):
                logger.experiment.log(_as_wandb(run.results, run.failed, pairs))
                summary = {f"total/{name}": value for name, value in summed.items()}
                logger.experiment.summary.update({**summary, "n_failed": len(run.failed)})
            else:
                known = {f"total/{k}": float(v) for k, v in summed.items() if v is not None}
                logger.log_metrics(known)
            logger.save()


def _as_wandb(
    rows: list[Row], failed: Mapping[str, str], pairs: Mapping[str, Picture]
) -> dict[str, Any]:
    logged: dict[str, Any] = {
        "failures": wandb.Table(["name", "reason"], [list(item) for item in failed.items()])
    }
    if not rows:
        return logged
    figures = [totals([row]) for row in rows]
    is_lossy = isinstance(rows[0], LossyResult)
    derived: tuple[str, ...] = ("file_bpp", "ideal_bpp", "overhead")
    if not is_lossy:
        derived = ("file_bpd", "ideal_bpd", "overhead", "coder_loss", "png_bpd", "webp_bpd")
    columns = [field.name for field in fields(rows[0])] + list(derived)
    table = wandb.Table(columns=[*columns, "original, decoded"])
    for row, found in zip(rows, figures, strict=True):
        shown = pairs.get(_caption(row))
        picture = None if shown is None else wandb.Image(shown, caption=_caption(row))
        table.add_data(*asdict(row).values(), *(found[name] for name in derived), picture)
    logged |= {
        "images": table,
        "histograms/overhead": wandb.Histogram([found["overhead"] for found in figures]),
        f"histograms/{derived[0]}": wandb.Histogram([found[derived[0]] for found in figures]),
        "decoded": [wandb.Image(shown, caption=name) for name, shown in pairs.items()],
    }
    return logged | (_curves(rows) if is_lossy else {})


def _curves(rows: list[Row]) -> dict[str, Any]:
    """Operating points, and PSNR over rate of the files and of exact posterior samples."""
    points = operating_points([row for row in rows if isinstance(row, LossyResult)])
    dicts = [asdict(point) for point in points]
    return {
        "operating_points": wandb.Table(list(dicts[0]), [list(d.values()) for d in dicts]),
        "rate_distortion": wandb.plot.line_series(
            xs=[[p.file_bpp for p in points], [p.ideal_bpp for p in points]],
            ys=[[p.psnr_db for p in points], [p.ideal_psnr_db for p in points]],
            keys=["file", "ideal"],
            title="PSNR (dB) over bits per pixel",
            xname="bpp",
        ),
    }


def _caption(row: Row) -> str:
    name, quality = row.identity
    return name if quality is None else f"{name} at quality {quality:g}"


def _thumbnail(pixels: UInt8[np.ndarray, "_h _w _c"]) -> Picture:
    """At most so many pixels high and wide; grey becomes colour, alpha is dropped."""
    image = Image.fromarray(as_rgb(pixels))
    image.thumbnail((_THUMBNAIL_SIDE, _THUMBNAIL_SIDE))
    return np.asarray(image)
