"""One model, many rates: features scaled and shifted as the trade-off lambda asks.

After the gain units of arXiv 2003.02012: learned vectors at a few lambdas (anchors), between which
scales are interpolated geometrically and shifts linearly, so that any lambda between them can be
asked for.
"""

import bisect
import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn


def anchor_position(value: float, anchors: Sequence[float]) -> float:
    """Where lambda lies among the anchors, on a logarithmic scale between neighbours.

    Args:
        value: lambda, from the first anchor to the last.
        anchors: ascending.

    Returns:
        0 for the first anchor to len(anchors) - 1 for the last.
    """
    if len(anchors) == 1:
        return 0.0
    left = min(max(bisect.bisect_right(anchors, value) - 1, 0), len(anchors) - 2)
    span = math.log(anchors[left + 1] / anchors[left])
    return left + math.log(value / anchors[left]) / span


class RateControl(nn.Module):
    """Scales and shifts channels; with one anchor there is nothing to control, nor to learn."""

    def __init__(self, channels: int, n_anchors: int) -> None:
        """Start as the identity at every rate."""
        super().__init__()
        self.n_anchors = n_anchors
        if n_anchors > 1:
            self.log_gain = nn.Parameter(torch.zeros(n_anchors, channels))
            self.shift = nn.Parameter(torch.zeros(n_anchors, channels))

    def forward(
        self, x: Float[Tensor, "n c h w"], position: Float[Tensor, " n"]
    ) -> Float[Tensor, "n c h w"]:
        """Apply the gains and shifts of each image's place among the anchors."""
        if self.n_anchors == 1:
            return x
        # A hat around each anchor: weights of the two neighbours, which sum to one.
        anchors = torch.arange(self.n_anchors, device=x.device, dtype=position.dtype)
        weights = (1.0 - (position[:, None] - anchors).abs()).clamp(min=0.0)
        gain = torch.exp(weights @ self.log_gain.to(weights.dtype))
        shift = weights @ self.shift.to(weights.dtype)
        return x * gain[:, :, None, None].to(x.dtype) + shift[:, :, None, None].to(x.dtype)
