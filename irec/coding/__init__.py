"""Relative entropy coding of diagonal Gaussians: send a *sample* instead of a quantised value.

Source: Flamich, Havasi, Hernández-Lobato, "Compressing Images by Encoding Their Latent
Representations with Relative Entropy Coding", arXiv 2010.01185 (iREC).

Encoder and decoder share a prior and a seed. The encoder, who also knows the posterior, sends the
indices of a draw from the shared random numbers that looks like a sample of the posterior; that
costs about KL(posterior || prior) nats, whatever the precision of the numbers:

    code = encode(posterior, prior, seed=0)
    z = decode(code, prior, seed=0)
    bits = code.n_bits(CoderSettings())

**The code.** In whitened coordinates u = (z - mu_p) / sigma_p a tensor's dimensions are dealt into
blocks (:mod:`~irec.coding.layout`). A block's u is a sum of K auxiliary variables, and each step
chooses one of M candidates for the next of them, at log2 M bits. Candidates are rows of a codebook
with signs flipped by the path so far (:mod:`~irec.coding.shared_randomness`): a tree code. The
encoder keeps many hypotheses and carries them from block to block (:mod:`~irec.coding.search`); how
many is its own business. Where :attr:`CoderSettings.order` is "step", the start of a code decodes
to a coarser sample: ``decode(start, prior, seed=0, coder=coder, allow_prefix=True)``.

**What is guaranteed.** Indices depend on no rounding: any device, number of threads or version of
torch decodes the same u, up to the last bits of float64. Nothing reads or writes a global random
state. The paper's own coder, for comparison, is :mod:`irec.coding.faithful`.
"""

from irec.coding.decoder import decode, decode_batch, whitened_sample
from irec.coding.encoder import encode, encode_batch, planned_steps
from irec.coding.gaussians import kl_nats, log_ratio_nats
from irec.coding.layout import blocks_at_each_step
from irec.coding.settings import CoderSettings, SearchSettings
from irec.coding.tensor_code import TensorCode

__all__ = [
    "CoderSettings",
    "SearchSettings",
    "TensorCode",
    "blocks_at_each_step",
    "decode",
    "decode_batch",
    "encode",
    "encode_batch",
    "kl_nats",
    "log_ratio_nats",
    "planned_steps",
    "whitened_sample",
]
