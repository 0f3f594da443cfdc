"""Muon, for the kernels of hidden convolutions: orthogonalised momentum; AdamW for all else.

torch's own Muon takes matrices alone.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

_MOMENTUM = 0.95
_BETAS = (0.9, 0.99)
_EPSILON = 1e-8
# Of the polynomial whose iteration brings singular values near one (Keller Jordan, 2024).
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_N_ITERATIONS = 5
# Updates have this root mean square, as AdamW's usually have: so both take one learning rate.
_UPDATE_RMS = 0.2


class Muon(torch.optim.Optimizer):
    """Muon (arXiv 2502.16982, section 2) and AdamW side by side at one learning rate."""

    def __init__(
        self, kernels: Iterable[Tensor], groups: Iterable[dict[str, Any]], weight_decay: float = 0.0
    ) -> None:
        """Set up the groups.

        Args:
            kernels: Weights of hidden convolutions, [out, in, height, width], which learn at the
                first group's learning rate.
            groups: All other parameters, with "params" and "lr" each.
            weight_decay: Of all, decoupled.
        """
        groups = [{**group, "kind": "adamw"} for group in groups]
        chosen = {"params": list(kernels), "lr": groups[0]["lr"], "kind": "muon"}
        kept = [group for group in [chosen, *groups] if group["params"]]
        super().__init__(kept, {"weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Update all parameters that have a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            update = self._muon if group["kind"] == "muon" else self._adamw
            for value in group["params"]:
                if value.grad is not None:
                    value.mul_(1.0 - group["lr"] * group["weight_decay"])
                    value.add_(update(value), alpha=-group["lr"])
        return loss

    def _muon(self, value: Tensor) -> Tensor:
        state = self.state[value]
        if not state:
            state["momentum"] = torch.zeros_like(value)
        momentum = state["momentum"].lerp_(value.grad, 1.0 - _MOMENTUM)
        direction = value.grad.lerp(momentum, _MOMENTUM).flatten(1)  # type: ignore[union-attr]
        direction = orthogonalised(direction) * (_UPDATE_RMS * max(direction.shape) ** 0.5)
        return direction.view(value.shape).to(value.dtype)

    def _adamw(self, value: Tensor) -> Tensor:
        state = self.state[value]
        if not state:
            state["mean"], state["square"] = torch.zeros_like(value), torch.zeros_like(value)
            state["step"] = 0
        state["step"] += 1
        first, second = _BETAS
        state["mean"].lerp_(value.grad, 1.0 - first)
        state["square"].lerp_(value.grad.square(), 1.0 - second)  # type: ignore[union-attr]
        mean = state["mean"] / (1.0 - first ** state["step"])
        square = state["square"] / (1.0 - second ** state["step"])
        return mean / (square.sqrt() + _EPSILON)


def orthogonalised(matrix: Tensor) -> Tensor:
    """Bring all singular values of a matrix near one, between 0.6 and 1.3.

    By an iteration of Newton and Schulz in bfloat16, which that is exact enough for.
    """
    a, b, c = _COEFFICIENTS
    is_tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.T if is_tall else matrix).bfloat16()
    x = x / (x.norm() + 1e-7)
    for _ in range(_N_ITERATIONS):
        square = x @ x.T
        x = a * x + (b * square + c * (square @ square)) @ x
    return x.T if is_tall else x


def hidden_kernels(model: nn.Module, outer: Iterable[str]) -> list[Tensor]:
    """Return the weights of convolutions that turn features into features.

    Args:
        model: Any.
        outer: Names, within the module that holds them, of layers that take something else or put
            out something else.
    """
    outer = set(outer)
    return [
        layer.weight
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
        and name.rpartition(".")[2] not in outer
    ]


def others(parameters: Iterable[Tensor], kernels: Iterable[Tensor]) -> list[Tensor]:
    """Return the parameters that are not among the kernels."""
    taken = {id(kernel) for kernel in kernels}
    return [value for value in parameters if id(value) not in taken]
