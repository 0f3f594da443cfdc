"""Codes of latent tensors between coder (torch) and file (NumPy)."""

from collections.abc import Sequence

import torch

from irec import bitstream, coding


def to_file(codes: Sequence[coding.TensorCode]) -> list[bitstream.TensorCode]:
    """What the container writes of a tile's tensors."""
    return [
        bitstream.TensorCode(code.n_steps, code.rho_index, code.indices.numpy()) for code in codes
    ]


def from_file(codes: Sequence[bitstream.TensorCode]) -> list[coding.TensorCode]:
    """What the decoder takes of a tile's tensors."""
    return [
        coding.TensorCode(code.n_steps, code.rho_index, torch.from_numpy(code.indices))
        for code in codes
    ]
