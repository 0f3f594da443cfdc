from collections.abc import Callable

import pytest
import torch
from torch.distributions import Normal

from irec.commands.benchmark import synthetic_posterior


@pytest.fixture(autouse=True)
def _one_thread():
    """Tensors here are small, and threads that wait for one another would take most of the time."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _random_state_is_left_alone():
    """Nothing in irec.coding may read or move torch's global generator."""
    before = torch.get_rng_state()
    yield
    assert torch.equal(torch.get_rng_state(), before)


@pytest.fixture
def normal() -> Callable[..., Normal]:
    """A Normal of any values and type."""

    def make(mean, scale, dtype=torch.float64):
        mean, scale = torch.as_tensor(mean, dtype=dtype), torch.as_tensor(scale, dtype=dtype)
        return Normal(mean, scale.expand_as(mean), validate_args=False)

    return make


@pytest.fixture
def pairs(normal) -> Callable[..., tuple[Normal, Normal]]:
    """One synthetic posterior per KL, stacked, and their priors, which are not standard."""

    def make(kls_nats, n_dims, dtype=torch.float64):
        made = [synthetic_posterior(kl, n_dims, seed)[0] for seed, kl in enumerate(kls_nats)]
        dims = torch.arange(n_dims, dtype=torch.float64)
        mu_p, sigma_p = torch.cos(dims).expand(len(made), -1), 0.2 + dims % 7
        mean = torch.stack([posterior.loc for posterior in made])
        scale = torch.stack([posterior.scale for posterior in made])
        posterior = normal(mu_p + sigma_p * mean, sigma_p * scale, dtype)
        return posterior, normal(mu_p, sigma_p, dtype)

    return make
