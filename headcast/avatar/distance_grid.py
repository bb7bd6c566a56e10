"""The signed distance to the head on a regular grid: cheap, differentiable, on any device."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from headcast.errors import BadFile
from headcast.geometry.meshes import signed_distance

DEFAULT_SPACING = 0.004
DEFAULT_MARGIN = 0.03


class SignedDistanceGrid(nn.Module):
    """Distance (m) to the head in the canonical skull frame, positive outside; trilinear between the samples.

    Outside of the grid the distance to the grid is added to the value at its border, so that it stays positive and continuous.
    """

    values: Float[Tensor, "X Y Z"]
    lower: Float[Tensor, "3"]
    spacing: Float[Tensor, ""]

    def __init__(self, values: Float[Tensor, "X Y Z"], lower: Float[Tensor, "3"], spacing: float) -> None:
        """``values[i, j, k]`` is the distance at ``lower + spacing (i, j, k)`` (m); BadFile unless finite."""
        super().__init__()
        if values.ndim != 3 or min(values.shape) < 2 or not bool(torch.isfinite(values).all()):
            raise BadFile("head distance grid", "needs finite samples, at least two along each axis", "check the fitted head")
        self.register_buffer("values", values.to(torch.float32))
        self.register_buffer("lower", lower.to(torch.float32))
        self.register_buffer("spacing", torch.tensor(float(spacing), dtype=torch.float32))

    @classmethod
    def from_mesh(
        cls,
        vertices: Float[np.ndarray, "V 3"],
        faces: Int[np.ndarray, "T 3"],
        spacing: float = DEFAULT_SPACING,
        margin: float = DEFAULT_MARGIN,
    ) -> SignedDistanceGrid:
        """Sample the distance to a closed (or nearly closed) mesh in a box ``margin`` (m) larger than it."""
        lower = vertices.min(0) - margin
        shape = np.ceil((vertices.max(0) + margin - lower) / spacing).astype(int) + 1
        axes = [lower[axis] + spacing * np.arange(shape[axis]) for axis in range(3)]
        points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
        distance = np.asarray(signed_distance(points, vertices, faces)).reshape(shape)
        return cls(torch.as_tensor(distance), torch.as_tensor(lower), spacing)

    def forward(self, points: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n"]:
        """Signed distance (m) at canonical points (m); differentiable in the points."""
        size = torch.tensor(self.values.shape, device=points.device)
        place = (points - self.lower) / self.spacing
        inside = torch.minimum(place.clamp_min(0), (size - 1).to(place))
        base = torch.minimum(inside.detach().floor().long(), size - 2)
        weight = inside - base
        total = torch.zeros_like(place[..., 0])
        for corner in torch.cartesian_prod(*[torch.arange(2, device=points.device)] * 3):
            share = torch.where(corner.bool(), weight, 1 - weight).prod(-1)
            total = total + share * self.values[tuple((base + corner).unbind(-1))]
        beyond = (place - inside).square().sum(-1)
        return total + torch.where(beyond > 0, beyond.clamp_min(1e-12).sqrt() * self.spacing, torch.zeros_like(beyond))

    def gradient(self, points: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n 3"]:
        """The unit direction away from the head at canonical points, by central differences of half a cell."""
        step = 0.5 * self.spacing
        offsets = step * torch.eye(3, device=points.device, dtype=points.dtype)
        slope = torch.stack([self(points + offset) - self(points - offset) for offset in offsets], dim=-1)
        return torch.nn.functional.normalize(slope, dim=-1)

    def push_out(self, points: Float[Tensor, "*n 3"], clearance: float = 0.0, rounds: int = 2) -> Float[Tensor, "*n 3"]:
        """Points moved along the gradient until they lie at least ``clearance`` (m) outside; others stay."""
        for _ in range(rounds):
            depth = torch.relu(clearance - self(points))
            points = points + depth[..., None] * self.gradient(points)
        return points
