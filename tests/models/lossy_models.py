"""Tiny lossy models, images for them, and sources that note what they were asked."""

import torch

from irec.models.transform_vae import TransformVAE, TransformVAEConfig
from irec.models.two_level_vae import TwoLevelVAE, TwoLevelVAEConfig
from tests.pictures import picture

TRANSFORM_LAMBDAS = (0.001, 0.01, 0.1)
TWO_LEVEL_LAMBDAS = (0.001, 0.01, 0.05)
SIZES = {"slices": (2, 5, 9), "interleaved": 1, "hyper_channels": 4, "state_channels": 6}


def small_transform_vae(**changes):
    """A tiny model whose qualities differ and whose heads say something."""
    options = {**SIZES, "residual_channels": 5, "lambdas": TRANSFORM_LAMBDAS, **changes}
    torch.manual_seed(0)
    return stirred(TransformVAE(TransformVAEConfig(**options)), ("rate", "last"), 0.1)


def small_two_level_vae(lambdas=TWO_LEVEL_LAMBDAS):
    """A tiny model whose qualities differ."""
    torch.manual_seed(0)
    return stirred(TwoLevelVAE(TwoLevelVAEConfig(6, 5, 4, lambdas)), ("rate",), 0.3)


def stirred(model, parts, std):
    """The model, with noise in all parameters that have one of `parts` in their names."""
    with torch.no_grad():
        for name, value in model.named_parameters():
            if any(part in name for part in parts):
                value.normal_(std=std)
    return model


def images(n=1, height=64, width=64, dtype=torch.float32):
    shots = [picture(height, width, 3, seed).transpose(2, 0, 1).copy() for seed in range(n)]
    return torch.stack([torch.from_numpy(shot) for shot in shots]).to(dtype)


class Recorder:
    """Takes a value between posterior mean and edge, and notes what it was asked."""

    def __init__(self):
        self.values, self.asked, self.tensors = [], [], []

    def __call__(self, prior, posterior, tensor):
        self.asked.append((prior, posterior))
        self.tensors.append(tensor)
        self.values.append(posterior.loc + 0.5 * posterior.scale)
        return self.values[-1]


class Replay:
    """Hands out recorded latent tensors; fails where a posterior is offered."""

    def __init__(self, values):
        self.values, self.priors = values, []

    def __call__(self, prior, posterior, tensor):
        assert posterior is None
        self.priors.append(prior)
        return self.values[tensor]
