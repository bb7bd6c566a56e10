"""Nearest neighbours among points (SciPy's k-d tree)."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from scipy.spatial import cKDTree
from torch import Tensor

from headcast.errors import HeadcastError


def nearest(
    queries: Float[Tensor, "Q D"], points: Float[Tensor, "P D"], count: int
) -> tuple[Float[Tensor, "Q k"], Int[Tensor, "Q k"]]:
    """Distances and indices of the ``count`` nearest points, nearest first; no gradient.

    Raises ``HeadcastError`` if there are fewer than ``count`` points or a coordinate is not finite.
    """
    if len(points) < count:
        raise HeadcastError("nearest neighbours", f"{count} neighbours wanted among {len(points)} points")
    if not torch.isfinite(points.detach().sum() + queries.detach().sum()):
        raise HeadcastError("nearest neighbours", "a coordinate is not finite")
    tree = cKDTree(points.detach().cpu().double().numpy())
    distance, index = tree.query(queries.detach().cpu().double().numpy(), k=range(1, count + 1))
    return torch.from_numpy(distance).to(queries), torch.from_numpy(index).to(queries.device, torch.int64)


def mean_neighbour_distance(points: Float[Tensor, "N 3"], count: int = 3) -> Float[Tensor, "N"]:
    """Mean distance (m) from each point to its ``count`` nearest others: a Gaussian's usual initial scale (Kerbl et al. 2023)."""
    distance, _ = nearest(points, points, min(count + 1, len(points)))
    return distance[:, 1:].mean(1) if len(points) > 1 else torch.full((len(points),), torch.nan).to(points)


def farthest_order(points: Float[Tensor, "n 3"], count: int) -> Int[Tensor, "m"]:
    """Indices of points such that each next one is the farthest from all before it (Gonzalez 1985)."""
    chosen = torch.zeros(min(count, len(points)), dtype=torch.long, device=points.device)
    distance = torch.full_like(points[:, 0], torch.inf)
    for position in range(1, len(chosen)):
        distance = torch.minimum(distance, (points - points[chosen[position - 1]]).square().sum(-1))
        chosen[position] = distance.argmax()
    return chosen
