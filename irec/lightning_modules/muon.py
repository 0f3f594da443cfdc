"""Muon, for the kernels of hidden convolutions: orthogonalised momentum; AdamW for all else.

torch's own Muon takes matrices alone.
"""

from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float
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
        """Update all parameters that have a gradient.

        Many at a time: on a GPU, launching work for each by itself takes longer than the work.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            update = self._muon if group["kind"] == "muon" else self._adamw
            if values := [value for value in group["params"] if value.grad is not None]:
                updates = update(values)
                torch._foreach_mul_(values, 1.0 - group["lr"] * group["weight_decay"])
                torch._foreach_mul_(updates, -group["lr"])
                torch._foreach_add_(values, updates)
        return loss

    def _muon(self, values: list[Tensor]) -> list[Tensor]:
        momenta = self._state(values, "momentum")
        gradients = _gradients(values)
        torch._foreach_lerp_(momenta, gradients, 1.0 - _MOMENTUM)
        directions = list(torch._foreach_lerp(gradients, momenta, _MOMENTUM))
        alike: dict[torch.Size, list[int]] = {}
        for index, value in enumerate(values):
            alike.setdefault(value.shape, []).append(index)
        for shape, indices in alike.items():
            matrices = torch.stack([directions[index].flatten(1) for index in indices])
            factor = _UPDATE_RMS * max(matrices.shape[1:]) ** 0.5
            found = orthogonalised(matrices).to(values[indices[0]].dtype) * factor
            for index, matrix in zip(indices, found, strict=True):
                directions[index] = matrix.reshape(shape)
        return directions

    def _adamw(self, values: list[Tensor]) -> list[Tensor]:
        means, squares = self._state(values, "mean"), self._state(values, "square")
        gradients = _gradients(values)
        for value in values:
            self.state[value]["step"] = self.state[value].get("step", 0) + 1
        steps = [self.state[value]["step"] for value in values]
        first, second = _BETAS
        torch._foreach_lerp_(means, gradients, 1.0 - first)
        torch._foreach_mul_(squares, second)
        torch._foreach_addcmul_(squares, gradients, gradients, 1.0 - second)
        # What is missing of averages that began at zero.
        deviations = torch._foreach_div(squares, [1.0 - second**step for step in steps])
        torch._foreach_sqrt_(deviations)
        torch._foreach_add_(deviations, _EPSILON)
        updates = torch._foreach_div(means, [1.0 - first**step for step in steps])
        torch._foreach_div_(updates, deviations)
        return list(updates)

    def _state(self, values: list[Tensor], name: str) -> list[Tensor]:
        """Return a running average of each parameter's, zero to begin with."""
        for value in values:
            if name not in self.state[value]:
                self.state[value][name] = torch.zeros_like(value)
        return [self.state[value][name] for value in values]


def _gradients(values: list[Tensor]) -> list[Tensor]:
    return [value.grad for value in values if value.grad is not None]


def orthogonalised(matrices: Float[Tensor, "*batch m n"]) -> Float[Tensor, "*batch m n"]:
    """Bring all singular values of matrices near one, between 0.6 and 1.3.

    By an iteration of Newton and Schulz in bfloat16, which that is exact enough for.
    """
    a, b, c = _COEFFICIENTS
    is_tall = matrices.shape[-2] > matrices.shape[-1]
    x = (matrices.mT if is_tall else matrices).bfloat16()
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) + 1e-7)
    for _ in range(_N_ITERATIONS):
        square = x @ x.mT
        x = a * x + (b * square + c * (square @ square)) @ x
    return x.mT if is_tall else x


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
