"""A saved view of Weights & Biases with the panels that matter, of training and of compression.

    pip install 'irec[workspaces]' && wandb login
    python examples/wandb_workspace.py ENTITY --project irec

Panels are chosen by what `fit` and `predict` log; those of models that a project lacks stay empty.
"""

import argparse

from wandb_workspaces.reports.v2 import BarPlot, LinePlot, MediaBrowser, WeavePanelSummaryTable
from wandb_workspaces.workspaces import Section, Workspace

TOTALS = ("file_bpd", "file_bpp", "overhead", "psnr_db", "ms_ssim", "encode_s", "decode_s")


def lines(title: str, *metrics: str, **options: str | bool) -> LinePlot:
    """Show several metrics of a run in one panel."""
    return LinePlot(title=title, y=list(metrics), **options)


def family(title: str, pattern: str) -> LinePlot:
    """Show all metrics that match a regular expression in one panel."""
    return LinePlot(title=title, metric_regex=pattern)


def workspace(entity: str, project: str) -> Workspace:
    """Return the view, not saved yet.

    Args:
        entity: User or team that it will belong to.
        project: That runs are logged to.
    """
    learns = [
        lines("Bits per dimension", "train/bpd", "val/bpd"),
        lines("Its two parts", "train/nll_bpd", "train/kl_bpd"),
        lines("Objective", "train/loss_bpd", "train/loss", "val/loss"),
        lines("Rate, bits per pixel", "train/bpp", "train/bpp_z1", "train/bpp_z2"),
        lines("PSNR, dB", "train/psnr_db"),
        lines("Gradient norm before clipping", "train/gradient_norm", log_y=True),
        family("Learning rates", "^lr-"),
        lines("Weight of the KL", "train/kl_weight"),
        lines("Lambda on its way to a target rate", "train/lambda", log_y=True),
    ]
    has_learnt = [
        family("Bits per dimension, by level", "^val/bpd_of/"),
        lines("Bits per dimension of all latents", "val/kl_bpd"),
        family("KL by latent tensor, nats", "^val/kl_nats/"),
        lines("Active latent channels", "val/active_latent_channels"),
        family("Active latent dimensions", "^val/active_dimensions_"),
        family("Scale of the likelihood, grey levels", "^val/scale_grey_levels/"),
        family("Rate at each lambda", "^val/bpp/"),
        family("PSNR at each lambda", "^val/psnr_db/"),
        family("MS-SSIM at each lambda", "^val/ms_ssim_db/"),
        family("Rate of z1 and z2", "^val/bpp_z"),
        family("Rate by slice of z1", "^val/bpp_slice_"),
        MediaBrowser(
            title="Validation images above what the model makes of them",
            media_keys=["images/reconstructions"],
        ),
        MediaBrowser(title="Samples of the prior", media_keys=["images/samples"]),
    ]
    is_worth = [
        *(BarPlot(title=f"total/{name}", metrics=[f"total/{name}"]) for name in TOTALS),
        WeavePanelSummaryTable(table_name="images"),
        WeavePanelSummaryTable(table_name="operating_points"),
        WeavePanelSummaryTable(table_name="failures"),
        MediaBrowser(title="Originals beside decoded files", media_keys=["decoded"]),
    ]
    speed = [lines("Images per second", "train/images_per_s")]
    return Workspace(
        entity=entity,
        project=project,
        name="irec",
        sections=[
            Section(name="Does it learn", panels=learns, is_open=True),
            Section(name="What has it learnt", panels=has_learnt, is_open=True),
            Section(name="What is it worth (predict)", panels=is_worth, is_open=True),
            Section(name="Speed", panels=speed),
        ],
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("entity", help="user or team")
    parser.add_argument("--project", default="irec")
    arguments = parser.parse_args()
    workspace(arguments.entity, arguments.project).save()
