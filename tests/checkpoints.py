"""An untrained checkpoint: it compresses nothing, but all of the codec has to work on it."""

import torch

from irec.codec.export import measure_statistics
from irec.models.latent_source import PosteriorSampler
from irec.models.rvae import RVAE, RVAEConfig
from irec.models.weight_norm import data_dependent_initialisation
from irec.models.zoo import save_checkpoint
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
    save_checkpoint(folder, model, measure_statistics(model, images))
    return folder
