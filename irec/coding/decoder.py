"""Decode samples; only the chosen rows of the codebook are drawn."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Float32, Float64, Int64
from torch import Tensor
from torch.distributions import Normal

from irec.coding.arguments import as_normal
from irec.coding.gaussians import add_batch, check_parameters
from irec.coding.layout import Layout, make_layout, transmission
from irec.coding.schedule import geometric_variances
from irec.coding.settings import DEFAULT_CODER, CoderSettings
from irec.coding.shared_randomness import (
    NORMALS_PER_CALL,
    SIGNS_PER_CALL,
    SharedRandomness,
    extend_hash,
    sign_pool_row,
)
from irec.coding.tensor_code import TensorCode, check_code
from irec.errors import InvalidParameterError

# Numbers of one step drawn together, so that the memory of large tensors stays bounded.
_DRAWN_AT_ONCE = 1 << 20


def decode(
    code: TensorCode,
    prior: Normal,
    seed: int,
    *,
    tensor: int = 0,
    coder: CoderSettings = DEFAULT_CODER,
    allow_prefix: bool = False,
) -> Float[Tensor, " *shape"]:
    """Return the sample that a code stands for.

    Args:
        code: From :func:`encode`.
        prior: The prior it was encoded with.
        seed: The encoder's.
        tensor: The encoder's.
        coder: The encoder's.
        allow_prefix: Whether to take the start of a code, with fewer indices than steps: what is
            missing counts as its prior mean, so that without any index the sample is that mean.

    Returns:
        The sample in the prior's shape, type and device.

    Raises:
        InvalidParameterError: If the prior holds NaN, infinity or a scale that is not positive.
        CorruptFileError: If the code cannot be one of such a prior.
    """
    return decode_batch(
        [code], add_batch(prior), seed, tensor=tensor, coder=coder, allow_prefix=allow_prefix
    )[0]


def decode_batch(
    codes: Sequence[TensorCode],
    prior: Normal,
    seed: int,
    *,
    tensor: int = 0,
    coder: CoderSettings = DEFAULT_CODER,
    allow_prefix: bool = False,
) -> Float[Tensor, " n *shape"]:
    """Return the samples that a batch of codes stands for; see :func:`decode`.

    Args:
        codes: N codes.
        prior: Parameters of shape ``[n, *shape]``.
        seed: The encoder's.
        tensor: The encoder's.
        coder: The encoder's.
        allow_prefix: As for :func:`decode`; of each code another part may be missing.
    """
    prior = as_normal(prior, "prior")
    check_parameters(prior, "prior")
    if prior.loc.ndim == 0 or prior.loc.shape[0] != len(codes):
        raise InvalidParameterError(
            f"{len(codes)} codes need a prior of as many, not of shape {tuple(prior.loc.shape)}."
        )
    samples = torch.empty(prior.loc.shape, dtype=torch.float64, device=prior.loc.device)
    for sample, code in zip(samples, codes, strict=True):
        u = whitened_sample(
            code,
            sample.numel(),
            seed,
            tensor=tensor,
            coder=coder,
            allow_prefix=allow_prefix,
            device=samples.device,
        )
        sample.copy_(u.view(sample.shape))
    z = prior.loc.detach().double() + prior.scale.detach().double() * samples
    return z.to(prior.loc.dtype)


def whitened_sample(
    code: TensorCode,
    n_dims: int,
    seed: int,
    *,
    tensor: int = 0,
    coder: CoderSettings = DEFAULT_CODER,
    allow_prefix: bool = False,
    device: torch.device | None = None,
) -> Float64[Tensor, " {n_dims}"]:
    """Return u = (z - mu_p) / sigma_p of a code, which no parameter of the model enters.

    Time is O(steps per block * dimensions).

    Args:
        code: From an encoder.
        n_dims: Dimensions of the tensor.
        seed: The encoder's.
        tensor: The encoder's.
        coder: The encoder's.
        allow_prefix: As for :func:`decode`.
        device: Where to compute; the CPU where it is None.

    Raises:
        CorruptFileError: If the code cannot be one of a tensor of ``n_dims`` dimensions.
    """
    check_code(code, n_dims, coder, allow_prefix)
    randomness = SharedRandomness(seed, tensor, device or torch.device("cpu"))
    return decode_with(code, n_dims, coder, randomness)


def decode_with(
    code: TensorCode, n_dims: int, coder: CoderSettings, randomness: SharedRandomness
) -> Float64[Tensor, " {n_dims}"]:
    """Return u of a code that is known to be possible."""
    coder = coder.doubled(code.block_doublings)
    if code.n_steps == 0:
        return randomness.prior_sample(n_dims).double()
    layout = make_layout(n_dims, code.n_steps, code.rho_index, coder, randomness)
    n_indices = code.indices.numel()
    order = transmission(layout.steps_of_block, coder.order)
    block, step = (of_index[:n_indices] for of_index in order)
    n_known = int(step.max()) + 1 if n_indices else 0  # steps of the block that is known best
    chosen = torch.zeros(2, layout.n_blocks, n_known, dtype=torch.int64, device=randomness.device)
    chosen[0, block, step] = code.indices.to(randomness.device)
    chosen[1, block, step] = sign_pool_row(_path_hashes(code.indices, block, layout, randomness))
    deviations = torch.zeros(layout.n_blocks, n_known, dtype=torch.float64, device=block.device)
    deviations[block, step] = _deviations(layout.steps_of_block, code.rho_index)[block, step]
    u = torch.empty(n_dims, dtype=torch.float64, device=randomness.device)
    n_columns = layout.dims_of_block.shape[1]
    n_blocks = max(1, _DRAWN_AT_ONCE // (n_columns * max(1, n_known)))
    for start in range(0, layout.n_blocks, n_blocks):
        part = slice(start, start + n_blocks)
        auxiliary = _chosen_variables(chosen[0, part], chosen[1, part], n_columns, randomness)
        sums = torch.zeros(auxiliary.shape[0], n_columns, dtype=torch.float64, device=u.device)
        for k in range(n_known):  # an order that no device may change
            sums += deviations[part, k, None] * auxiliary[:, k]
        present = layout.is_present[part]
        u[layout.dims_of_block[part][present]] = sums[present]
    return u


def _path_hashes(
    indices: Int64[Tensor, " steps"],
    block_of_index: Int64[Tensor, " steps"],
    layout: Layout,
    randomness: SharedRandomness,
) -> Int64[Tensor, " steps"]:
    """Return the hash of the stream's path before each index, in the order of transmission."""
    streams = torch.arange(layout.n_streams, device=randomness.device)
    path_hash = randomness.first_hash(streams).tolist()
    hashes = []
    stream_of_index = (block_of_index % layout.n_streams).tolist()
    for stream, index in zip(stream_of_index, indices.tolist(), strict=True):
        hashes.append(path_hash[stream])
        path_hash[stream] = extend_hash(path_hash[stream], index)
    return torch.tensor(hashes, dtype=torch.int64, device=randomness.device)


def _deviations(
    steps_of_block: Int64[Tensor, " blocks"], rho_index: int
) -> Float64[Tensor, "blocks K"]:
    """Return sigma_k of each block's steps, 0 beyond them."""
    shape = (steps_of_block.numel(), int(steps_of_block.max()))
    deviations = torch.zeros(shape, dtype=torch.float64, device=steps_of_block.device)
    for n_steps in steps_of_block.unique().tolist():
        variances = torch.tensor(geometric_variances(n_steps, rho_index), dtype=torch.float64)
        deviations[steps_of_block == n_steps, :n_steps] = variances.sqrt().to(deviations.device)
    return deviations


def _chosen_variables(
    indices: Int64[Tensor, "blocks K"],
    pool_rows: Int64[Tensor, "blocks K"],
    n_columns: int,
    randomness: SharedRandomness,
) -> Float32[Tensor, "blocks K columns"]:
    """Return the chosen candidates, with their signs, in units of sigma_k."""
    groups = torch.arange(-(-n_columns // NORMALS_PER_CALL), device=indices.device)
    steps = torch.arange(indices.shape[1], device=indices.device).unsqueeze(1)
    normals = randomness.codebook(steps, indices.unsqueeze(2) // 2, groups).flatten(2)
    groups = torch.arange(-(-n_columns // SIGNS_PER_CALL), device=indices.device)
    signs = randomness.signs(pool_rows.unsqueeze(2), groups).flatten(2)
    # Every other candidate is the one before it with all signs flipped.
    signs = signs * (1 - 2 * (indices & 1)).unsqueeze(2)
    return normals[..., :n_columns] * signs[..., :n_columns]
