"""Send the latent variables of your own VAE: python examples/code_latents_of_your_vae.py.

Whatever gives a diagonal Gaussian prior and posterior will do; here it is a small VAE of numbers
that have never seen training.
"""

import math

import torch
from torch import nn
from torch.distributions import Normal

from irec.coding import CoderSettings, decode, encode, kl_nats


class VAE(nn.Module):
    """A linear encoder and decoder around 64 latent variables with a standard normal prior."""

    def __init__(self) -> None:
        """Set up both layers."""
        super().__init__()
        self.to_latent, self.to_data = nn.Linear(256, 2 * 64), nn.Linear(64, 256)

    def posterior(self, data: torch.Tensor) -> Normal:
        """q(z | data)."""
        mean, log_scale = self.to_latent(data).chunk(2, dim=-1)
        return Normal(2.0 * mean, (0.3 * log_scale - 1.0).exp())

    def prior(self) -> Normal:
        """p(z)."""
        return Normal(torch.zeros(64), torch.ones(64))


def main() -> None:
    """Encode a sample of the posterior, decode it, and say what it took."""
    torch.manual_seed(0)
    vae = VAE().requires_grad_(False)
    data = torch.randn(256)
    posterior = vae.posterior(data)
    # The sender: a few integers.
    code = encode(posterior, vae.prior(), seed=0)
    # The receiver, who has the prior and the integers.
    z = decode(code, vae.prior(), seed=0)
    reconstruction = vae.to_data(z)
    kl_bits = float(kl_nats(posterior, vae.prior())) / math.log(2.0)
    print(f"KL {kl_bits:.1f} bits, sent {code.n_bits(CoderSettings())} bits")
    distance = ((z - posterior.mean) / posterior.stddev).square().mean().sqrt()
    print(f"the sample is {distance:.2f} posterior deviations off its mean; 1.00 is usual")
    print(f"reconstruction of {reconstruction.numel()} numbers")


if __name__ == "__main__":
    main()
