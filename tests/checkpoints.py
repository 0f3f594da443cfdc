"""Untrained checkpoints: they compress nothing, but all of the codecs has to work on them."""

import torch

from irec.codec.export import measure_lattice, measure_lossless, measure_lossy
from irec.models.block_transform import block_components
from irec.models.checkpoint import save_checkpoint
from irec.models.lattice_rvae import LatticeRVAE, LatticeRVAEConfig
from irec.models.rvae import RVAE, RVAEConfig
from irec.models.sources import PosteriorSampler
from irec.models.transform_vae import TransformVAE, TransformVAEConfig
from irec.models.two_level_vae import TwoLevelVAE, TwoLevelVAEConfig
from irec.models.weight_norm import data_dependent_initialisation
from tests.pictures import picture


def write_checkpoint(folder, likelihood="conditional_logistic", seed=0):
    """Write a checkpoint of a tiny model to `folder`, and return the folder."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        model = RVAE(RVAEConfig(3, 8, 2, likelihood))
        pixels = torch.randint(0, 256, (8, 3, 16, 16)).float()
        with data_dependent_initialisation(model):
            model(pixels, PosteriorSampler())
        # Posteriors that differ from the priors, so that there is something to send.
        for block in model.blocks:
            block.up_in.gain[:2] *= 5.0
            block.up_in.bias[2:4] -= 1.5
    images = [picture(32, 32, 3, seed) for seed in range(4)]
    save_checkpoint(folder, model, measure_lossless(model, images))
    return folder


def write_lattice_checkpoint(folder, latent_levels=(3, 1), seed=0):
    """Write a checkpoint of a tiny lattice RVAE to `folder`, and return the folder."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        model = LatticeRVAE(LatticeRVAEConfig(8, 3, (1, 2), latent_levels, 2))
        # Corrections to the classical predictor, and something to send.
        for level in model.levels:
            for phase in level.phases:
                phase.leave.weight.normal_(std=0.05)
        for block in model.latents.values():
            block.prior.weight.normal_(std=0.1)
            block.infer.weight *= 3.0
    images = [picture(128, 128, 3, seed) for seed in range(2)]
    save_checkpoint(folder, model, measure_lattice(model, images))
    return folder


def write_lossy_checkpoint(folder, lambdas=(0.001, 0.01, 0.05), seed=0):
    """Write a checkpoint of a tiny two-level VAE to `folder`, and return the folder."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        model = TwoLevelVAE(TwoLevelVAEConfig(6, 5, 4, lambdas)).eval()
        # Some bits for the upper tensor too, and rates that differ.
        model.hyper_analysis.mean.weight *= 3.0
        for anchor in range(len(lambdas) if len(lambdas) > 1 else 0):
            model.analysis.rate_of_mean.log_gain[anchor] = 0.5 * anchor
    images = [picture(192, 192, 3, seed) for seed in range(2)]
    save_checkpoint(folder, model, measure_lossy(model, images))
    return folder


def tiny_transform_vae(lambdas=(0.001, 0.01, 0.1), seed=0):
    """An untrained transform VAE with components of pictures, and heads that say something."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        sizes = {"slices": (3, 5, 9), "interleaved": 1, "hyper_channels": 4, "state_channels": 6}
        model = TransformVAE(TransformVAEConfig(**sizes, residual_channels=5, lambdas=lambdas))
        pictures = [
            torch.from_numpy(picture(192, 192, 3, n).transpose(2, 0, 1).copy()) for n in range(8)
        ]
        model.begin_at(block_components([torch.stack(pictures)], 16))
        for name, value in model.named_parameters():
            if "last" in name or "rate" in name:
                value.normal_(std=0.03)
    return model.eval()


def write_transform_checkpoint(folder, lambdas=(0.001, 0.01, 0.1), seed=0):
    """Write a checkpoint of a tiny transform VAE to `folder`, and return the folder."""
    model = tiny_transform_vae(lambdas, seed)
    images = [picture(192, 192, 3, seed) for seed in range(2)]
    save_checkpoint(folder, model, measure_lossy(model, images))
    return folder
