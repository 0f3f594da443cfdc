"""Weight-normalised convolutions with data-dependent initialisation (arXiv 1602.07868).

The layer stores the direction as `weight` and the length as `gain`, so that a folded checkpoint
needs `weight` alone: on loading, `gain` is the length that `weight` already has.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional


class _WeightNorm(nn.Module):
    """What both convolutions share: the gain, the initialisation, the folding.

    Attributes:
        initialised: Bool tensor, a buffer so that resumed runs and averaged copies agree on it.
    """

    weight: Tensor
    bias: Tensor
    initialised: Tensor
    out_dim: int

    def _set_up(self, initial_std: float) -> None:
        self.initial_std = initial_std
        self.is_collecting = False
        nn.init.normal_(self.weight, std=0.05)
        nn.init.zeros_(self.bias)
        self.gain = nn.Parameter(self._norm().detach().clone())
        self.register_buffer("initialised", torch.tensor(False))

    def _norm(self) -> Tensor:
        """Euclidean length of each output channel's filter, [out]."""
        dims = [d for d in range(4) if d != self.out_dim]
        return torch.linalg.vector_norm(self.weight, dim=dims)

    def _effective_weight(self) -> Tensor:
        shape = [1, 1, 1, 1]
        shape[self.out_dim] = -1
        return self.weight * (self.gain / self._norm()).view(shape)

    def _convolve(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Convolve [n, in, h, w]; inside :func:`data_dependent_initialisation`, set up first."""
        if self.is_collecting:
            self._initialise(x)
        return self._convolve(x)

    @torch.no_grad()
    def _initialise(self, x: Tensor) -> None:
        """Choose gain and bias so that this batch's outputs have mean 0 and the wanted std."""
        out = self._convolve(x)
        std, mean = torch.std_mean(out, dim=(0, 2, 3))
        # A constant input (the generative pass starts from one) has no spread to scale.
        factor = torch.where(std > 1e-4, self.initial_std / std, torch.ones_like(std))
        self.bias.copy_((self.bias - mean) * factor)
        self.gain.mul_(factor)
        self.initialised.fill_(True)

    @torch.no_grad()
    def fold(self) -> None:
        """Make `weight` the effective weight; the layer's function stays the same."""
        self.weight.copy_(self._effective_weight())
        self.gain.copy_(self._norm())

    @torch.no_grad()
    def adopt_folded(self) -> None:
        """Take `weight`, just loaded from a folded checkpoint, as the effective weight."""
        self.gain.copy_(self._norm())
        self.initialised.fill_(True)

    def is_folded(self) -> bool:
        """Whether `weight` is the effective weight, but for the rounding of its length."""
        return torch.allclose(self.gain, self._norm(), rtol=1e-5, atol=0.0)


class WeightNormConv2d(_WeightNorm, nn.Conv2d):
    """Convolution with 'same' padding for odd kernels; with stride 2 it halves height and width."""

    out_dim = 0

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, initial_std: float = 1.0
    ) -> None:
        """Set up the layer; `initial_std` is that of its outputs after initialisation."""
        nn.Conv2d.__init__(self, inputs, outputs, kernel, stride, padding=kernel // 2)
        self._set_up(initial_std)

    def _convolve(self, x: Tensor) -> Tensor:
        return functional.conv2d(x, self._effective_weight(), self.bias, self.stride, self.padding)


class WeightNormUpsample2d(_WeightNorm, nn.ConvTranspose2d):
    """Transposed convolution that doubles height and width exactly (odd kernel, stride 2)."""

    out_dim = 1

    def __init__(self, inputs: int, outputs: int, kernel: int, initial_std: float = 1.0) -> None:
        """Set up the layer; arguments as in :class:`WeightNormConv2d`."""
        nn.ConvTranspose2d.__init__(
            self, inputs, outputs, kernel, stride=2, padding=kernel // 2, output_padding=1
        )
        self._set_up(initial_std)

    def _convolve(self, x: Tensor) -> Tensor:
        half = self.kernel_size[0] // 2
        return functional.conv_transpose2d(
            x, self._effective_weight(), self.bias, stride=2, padding=half, output_padding=1
        )


def weight_norm_layers(model: nn.Module) -> Iterator[_WeightNorm]:
    """All weight-normalised layers inside `model`."""
    return (layer for layer in model.modules() if isinstance(layer, _WeightNorm))


def is_initialised(model: nn.Module) -> bool:
    """Whether every weight-normalised layer of `model` has seen data or a checkpoint."""
    return all(bool(layer.initialised) for layer in weight_norm_layers(model))


@contextmanager
def data_dependent_initialisation(model: nn.Module) -> Iterator[None]:
    """Within it, a forward pass initialises every layer from the batch that reaches it."""
    layers = list(weight_norm_layers(model))
    for layer in layers:
        layer.is_collecting = True
    try:
        yield
    finally:
        for layer in layers:
            layer.is_collecting = False
