"""The view of Weights & Biases in examples/: its panels name what is logged, and all of it."""

import re

import numpy as np
import pytest
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import LearningRateMonitor
from lightning.pytorch.loggers import WandbLogger

from irec.callbacks.compression_logger import _as_wandb
from irec.callbacks.loggers import ImageLogger
from irec.callbacks.training import ImagesPerSecond
from irec.datamodules.image_folder import ImageFolderDataModule
from irec.evaluation.results import totals
from irec.lightning_modules.lattice_rvae import LatticeRVAEModule
from irec.lightning_modules.rvae import RVAEModule
from irec.lightning_modules.transform_vae import TransformVAEModule
from tests.evaluation.rows import lossless_row, lossy_row
from tests.pictures import picture
from tests.test_examples import load

# MS-SSIM needs as many pixels.
SIDE = 192


class KeysOfRuns(WandbLogger):
    """Keeps the names of what is logged, in place of a run."""

    name = version = "keys"
    save_dir = "."

    def __init__(self):
        self.keys = set()

    def log_metrics(self, metrics, step=None):
        self.keys |= set(metrics)

    def log_image(self, key, images, step=None, **kwargs):
        self.keys.add(key)

    def log_hyperparams(self, params):
        pass

    def finalize(self, status):
        pass


def logged_by_fit(module, data):
    logger = KeysOfRuns()
    run = Trainer(
        logger=logger,
        callbacks=[LearningRateMonitor(), ImagesPerSecond(), ImageLogger()],
        max_steps=2,
        log_every_n_steps=1,
        num_sanity_val_steps=0,
        accelerator="cpu",
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    run.fit(module, datamodule=data)
    return logger.keys


def logged_by_predict(row):
    totals_of_run = {f"total/{name}" for name in totals([row])}
    return totals_of_run | set(_as_wandb([row], {}, {row.name: picture(4, 4, 3)}))


def named(panel):
    """Regular expressions of the keys that a panel shows."""
    if getattr(panel, "metric_regex", None):
        return [panel.metric_regex]
    keys = []
    for attribute in ("y", "metrics", "media_keys"):
        keys += getattr(panel, attribute, [])
    keys += [panel.table_name] if hasattr(panel, "table_name") else []
    return [f"^{re.escape(key)}$" for key in keys]


def test_panels_name_what_is_logged_and_all_figures_are_on_one(tmp_path):
    pytest.importorskip("wandb_workspaces", reason="needs irec[workspaces]")
    np.save(tmp_path / "a.npy", np.stack([picture(SIDE, SIDE, 3, seed) for seed in range(2)]))
    source = [str(tmp_path / "a.npy")]
    data = ImageFolderDataModule(train=source, val=source, crop_size=SIDE, batch_size=1)
    lossy = {"slices": [3, 5], "interleaved": 1, "lambdas": [0.01], "target_bpp": 1.0}
    small = {"hyper_channels": 4, "state_channels": 6, "residual_channels": 5}
    keys = set().union(
        logged_by_fit(RVAEModule(n_blocks=2, hidden_channels=8, latent_channels=2), data),
        logged_by_fit(LatticeRVAEModule(channels=8, n_components=2, grey_share=0.0), data),
        logged_by_fit(TransformVAEModule(**lossy, **small), data),
        logged_by_predict(lossless_row()),
        logged_by_predict(lossy_row()),
    )
    view = load("wandb_workspace").workspace("somebody", "irec")
    # What would be sent.
    assert [section.name for section in view._to_model().spec.section.panel_bank_config.sections]
    patterns = [p for section in view.sections for panel in section.panels for p in named(panel)]
    assert len(patterns) >= sum(len(section.panels) for section in view.sections)
    for pattern in patterns:
        assert any(re.search(pattern, key) for key in keys), pattern
    for key in keys:
        if key.startswith(("train/", "val/", "images/", "lr-")):
            assert any(re.search(pattern, key) for pattern in patterns), key
