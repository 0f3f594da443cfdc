"""Places for labels beside the curves of a plot."""

from collections.abc import Sequence

import numpy as np


def last_visible(
    points: Sequence[tuple[float, float]], x_limit: float, y_limits: tuple[float, float]
) -> tuple[float, float] | None:
    """Where a curve, drawn as straight lines between points by rising x, leaves the plot.

    Returns:
        The last point with x and y within the limits, to a 500th of the curve; None if there is
        none.
    """
    xs, ys = np.array(points).T
    if xs[0] > x_limit:
        return None
    dense = np.linspace(xs[0], min(xs[-1], x_limit), 500)
    heights = np.interp(dense, xs, ys)
    visible = (heights >= y_limits[0]) & (heights <= y_limits[1])
    if not visible.any():
        return None
    last = int(np.flatnonzero(visible)[-1])
    return float(dense[last]), float(heights[last])


def continued(
    points: Sequence[tuple[float, float]], end: tuple[float, float], x_limit: float
) -> float:
    """The height at which a curve that ends at `end` would leave the plot at its right.

    Labels in the order of these heights have lines to them that do not cross.
    """
    if len(points) < 2 or end[0] < points[-1][0]:
        return end[1]
    (x_before, y_before), (x_last, y_last) = points[-2:]
    if x_last == x_before:
        return end[1]
    return y_last + (y_last - y_before) / (x_last - x_before) * (x_limit - x_last)


def spread(wanted: Sequence[float], gap: float, limits: tuple[float, float]) -> list[float]:
    """Move positions apart, as little as possible in the sense of least squares.

    Args:
        wanted: positions in any order.
        gap: the least distance between two; made smaller where they would not fit.
        limits: the lowest and the highest position possible.

    Returns:
        The positions, in the order of `wanted`, which also is kept from low to high.
    """
    if not wanted:
        return []
    low, high = limits
    gap = min(gap, (high - low) / max(len(wanted) - 1, 1))
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    # Less the gaps below them, positions must rise: isotonic regression by pooling neighbours.
    pools: list[list[float]] = []
    for rank, i in enumerate(order):
        pools.append([wanted[i] - rank * gap])
        while len(pools) > 1 and np.mean(pools[-2]) > np.mean(pools[-1]):
            pools[-2:] = [pools[-2] + pools[-1]]
    level = [float(np.mean(pool)) for pool in pools for _ in pool]
    highest = high - (len(wanted) - 1) * gap
    placed = [0.0] * len(wanted)
    for rank, i in enumerate(order):
        placed[i] = min(max(level[rank], low), highest) + rank * gap
    return placed
