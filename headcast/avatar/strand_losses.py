"""What keeps optimised strands hair-like: smooth, of their length, near where they were grown, outside the head.

Every term is dimensionless and a mean over its points, so a weight means the same for any number of strands.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from headcast.avatar.distance_grid import SignedDistanceGrid

CENTIMETRE = 0.01


def smoothness(points: Float[Tensor, "S P 3"], rest_lengths: Float[Tensor, "S Q"]) -> Float[Tensor, ""]:
    """Mean squared second difference in units of the segment length (the squared turning angle of small bends, rad²)."""
    bend = points[:, 2:] - 2 * points[:, 1:-1] + points[:, :-2]
    return (bend.square().sum(-1) / (rest_lengths[:, 1:] * rest_lengths[:, :-1])).mean()


def length_preservation(points: Float[Tensor, "S P 3"], rest_lengths: Float[Tensor, "S Q"]) -> Float[Tensor, ""]:
    """Mean squared relative change of the segment lengths."""
    steps = points[:, 1:] - points[:, :-1]
    lengths = (steps.square().sum(-1) + 1e-12).sqrt()
    return (lengths / rest_lengths - 1).square().mean()


def anchoring(points: Float[Tensor, "S P 3"], anchors: Float[Tensor, "S P 3"]) -> Float[Tensor, ""]:
    """Mean squared distance from the initial points, in cm²."""
    return (points - anchors).square().sum(-1).mean() / CENTIMETRE**2


def inside_head(points: Float[Tensor, "S P 3"], head: SignedDistanceGrid, clearance: float = 0.0) -> Float[Tensor, ""]:
    """Mean squared depth under the surface raised by ``clearance`` (m), in cm²; roots are fixed and do not count."""
    depth = torch.relu(clearance - head(points[:, 1:]))
    return depth.square().mean() / CENTIMETRE**2
