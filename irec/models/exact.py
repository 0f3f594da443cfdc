"""Layers whose float64 results are the same to the last bit on every machine, by construction.

A sum of floats depends on its order, and the order on threads, instruction sets and libraries. Here
no sum ever rounds. Weights are multiples of 2**-WEIGHT_BITS, what enters a layer is a multiple of
2**-VALUE_BITS of at most MAX_VALUE in size, so each product is a whole multiple of 2**-26 below
2**53 of them, and so is each sum: float64 holds all of them, whatever the order. What
leaves a layer is rounded to multiples of 2**-VALUE_BITS again. The functions between layers use
operations that IEEE 754 rounds correctly (+, -, x, /, square root, rounding) and powers of two.

In float32 or half precision, in training, the same layers are ordinary convolutions.

Below them: how to keep what a caller has set in PyTorch from reaching the bytes of a file.
"""

import contextlib
from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from irec.errors import CheckpointError

VALUE_BITS = 12
WEIGHT_BITS = 14
MAX_VALUE = 512.0
# Rounds to multiples of 2**-VALUE_BITS when it is added and subtracted again: the last binary
# place of a float64 of this size is that multiple. Two passes instead of three.
_ROUNDING = 1.5 * 2.0 ** (52 - VALUE_BITS)

# A power of two, so that the product is exact.
_SLOPE = 0.125
# Rows of a product: out and in stay in the cache while nine products are summed.
_CHUNK = 4096


def activation(x: Tensor) -> Tensor:
    """Leaky ReLU of slope 1/8."""
    return functional.leaky_relu(x, _SLOPE)


def full_precision(x: Tensor) -> Tensor:
    """Out of half precision: likelihoods and pixels need more."""
    return x if x.dtype in (torch.float32, torch.float64) else x.float()


def on_grid(x: Tensor, bits: int = VALUE_BITS) -> Tensor:
    """Round float64 to multiples of 2**-bits of at most MAX_VALUE; other types pass."""
    if x.dtype != torch.float64:
        return x
    return (x * 2.0**bits).round_().mul_(2.0**-bits).clamp_(-MAX_VALUE, MAX_VALUE)


def _round_in_place(x: Tensor) -> None:
    x.add_(_ROUNDING).sub_(_ROUNDING).clamp_(-MAX_VALUE, MAX_VALUE)


class ExactConv2d(nn.Conv2d):
    """Convolution with a kernel of side 1 or 3 and zero padding, exact in float64."""

    bias: nn.Parameter

    def __init__(self, n_in: int, n_out: int, kernel: int) -> None:
        """Set up the weights, from `n_in` to `n_out` channels."""
        super().__init__(n_in, n_out, kernel, padding=kernel // 2)

    def forward(self, x: Float[Tensor, "n i h w"]) -> Float[Tensor, "n o h w"]:
        """Convolve; float64 takes the exact way."""
        if x.dtype != torch.float64:
            return super().forward(x)
        n, n_in, height, width = x.shape
        margin = self.kernel_size[0] // 2
        padded = x.new_zeros(n, height + 2 * margin, width + 2 * margin, n_in)
        inside = padded[:, margin : margin + height, margin : margin + width]
        inside.copy_(x.permute(0, 2, 3, 1))
        _round_in_place(inside)
        products = shifted_products(padded, self.weight, self.bias, _round_in_place)
        return products.permute(0, 3, 1, 2)


@torch.no_grad()
def put_on_grid(model: nn.Module) -> None:
    """Round the weights of all exact layers of a float64 model to their grid, before it codes.

    Raises:
        CheckpointError: Weights are so large that sums could round.
    """
    bits = WEIGHT_BITS + VALUE_BITS
    for layer in model.modules():
        if isinstance(layer, ExactConv2d):
            layer.weight.mul_(2.0**WEIGHT_BITS).round_().mul_(2.0**-WEIGHT_BITS)
            layer.bias.mul_(2.0**bits).round_().mul_(2.0**-bits)
            largest = layer.weight.abs().sum((1, 2, 3)) * MAX_VALUE + layer.bias.abs()
            if not bool((largest < 2.0 ** (53 - bits)).all()):
                raise CheckpointError("a weight of the checkpoint is too large to code with")


def shifted_products(
    padded: Float[Tensor, "n _h _w i"],
    weight: Float[Tensor, "o i k k"],
    bias: Float[Tensor, " o"],
    finish: Callable[[Tensor], None] = lambda part: None,
) -> Float[Tensor, "n h w o"]:
    """Convolve on a processor: products of shifted rows, k^2 for a kernel of k x k.

    The padded image is laid out as one long list of pixels. torch's float64 convolutions copy k^2
    times the image first (im2col), and take twice as long. Without gradients.

    Args:
        padded: With k // 2 more pixels on each side than the result, contiguous.
        weight: Of the kernel.
        bias: Of each channel that leaves.
        finish: Changes parts of the result in place while they are in the cache.
    """
    side = weight.shape[2]
    n, height, row, n_in = padded.shape
    flat = padded.view(-1, n_in)
    taps = [dy * row + dx for dy in range(side) for dx in range(side)]
    factors = weight.permute(2, 3, 1, 0).reshape(side * side, n_in, -1)
    out = padded.new_empty(len(flat), factors.shape[2])
    last = len(flat) - taps[-1]
    for start in range(0, last, _CHUNK):
        stop = min(start + _CHUNK, last)
        part = out[start:stop]
        torch.addmm(bias, flat[start:stop], factors[0], out=part)
        for tap, factor in zip(taps[1:], factors[1:], strict=True):
            torch.addmm(part, flat[start + tap : stop + tap], factor, out=part)
        finish(part)
    margin = 2 * (side // 2)
    return out.view(n, height, row, -1)[:, : height - margin, : row - margin]


@contextlib.contextmanager
def neutral_torch() -> Iterator[None]:
    """Run with float32 and the processor as defaults, and without autocast; restores all of it.

    A function decorated with ``@neutral_torch()`` runs so whenever it is called.
    """
    dtype = torch.get_default_dtype()
    with contextlib.ExitStack() as stack:
        for device in ("cpu", "cuda"):
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        # Costs time in each call of torch, so only where it is needed.
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            torch.set_default_dtype(dtype)
