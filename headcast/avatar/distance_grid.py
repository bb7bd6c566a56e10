"""The signed distance to a body on a regular grid: cheap, differentiable, on any device."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from headcast.avatar.voxel_grid import VoxelGrid, trilinear
from headcast.errors import BadFile
from headcast.geometry.queries import signed_distance

DEFAULT_SPACING = 0.004
DEFAULT_MARGIN = 0.03
COARSE = 3


class SignedDistanceGrid(nn.Module):
    """Distance (m) to a body, mostly the head, in the canonical skull frame, positive outside; trilinear between the samples.

    Outside of the grid the distance to the grid is added to the value at its border, so that it stays positive and continuous.
    Rebuild a saved grid with ``SignedDistanceGrid(values, lower, spacing)``; ``upper`` is the far corner of the sampled box (m).
    """

    values: Float[Tensor, "X Y Z"]
    lower: Float[Tensor, "3"]
    spacing: Float[Tensor, ""]
    slopes: Float[Tensor, "X Y Z 3"]
    upper: Float[Tensor, "3"]

    def __init__(self, values: Float[Tensor, "X Y Z"], lower: Float[Tensor, "3"], spacing: float) -> None:
        """``values[i, j, k]`` is the distance at ``lower + spacing (i, j, k)`` (m); BadFile unless finite."""
        super().__init__()
        if values.ndim != 3 or min(values.shape) < 2 or not bool(torch.isfinite(values).all()):
            raise BadFile("head distance grid", "needs finite samples, at least two along each axis", "check the fitted head")
        self.register_buffer("values", values.to(torch.float32))
        self.register_buffer("lower", lower.to(torch.float32))
        self.register_buffer("spacing", torch.tensor(float(spacing), dtype=torch.float32, device=values.device))
        size = torch.tensor(values.shape, device=values.device)
        self.register_buffer("upper", self.lower + self.spacing * (size - 1), persistent=False)
        self.register_buffer("slopes", torch.stack(torch.gradient(self.values, spacing=float(spacing)), dim=-1), persistent=False)

    @classmethod
    def from_mesh(
        cls,
        vertices: Float[Tensor, "V 3"],
        faces: Int[Tensor, "T 3"],
        spacing: float = DEFAULT_SPACING,
        margin: float = DEFAULT_MARGIN,
    ) -> SignedDistanceGrid:
        """Sample the distance to a closed (or nearly closed) mesh in a box ``margin`` (m) larger than it, on the mesh's device.

        Samples further than three spacings from the surface are interpolated from a grid three times as coarse.
        """
        vertices, faces = vertices.detach().to(torch.float32), faces.long()
        lower, upper = vertices.amin(0) - margin, vertices.amax(0) + margin
        coarse = VoxelGrid.around(lower, upper + COARSE * spacing, COARSE * spacing)
        rough = signed_distance(coarse.centers(), vertices, faces).reshape(*coarse.shape, 1)
        grid = VoxelGrid.around(lower, upper, spacing)
        points = grid.centers()
        distance = coarse.sample(rough, points)[:, 0]
        near = distance.abs() < COARSE * spacing
        distance[near] = signed_distance(points[near], vertices, faces)
        return cls(distance.reshape(grid.shape), grid.lower, spacing)

    def forward(self, points: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n"]:
        """Signed distance (m) at canonical points (m); differentiable in the points."""
        flat = points.reshape(-1, 3)
        value = trilinear(self.values[..., None], (flat - self.lower) / self.spacing)[:, 0]
        beyond = (flat - torch.minimum(torch.maximum(flat, self.lower), self.upper)).square().sum(-1)
        far = torch.where(beyond > 0, beyond.clamp_min(1e-18).sqrt(), torch.zeros_like(beyond))
        return (value + far).reshape(points.shape[:-1])

    def gradient(self, points: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n 3"]:
        """The unit direction away from the body at canonical points."""
        flat = points.reshape(-1, 3)
        slope = trilinear(self.slopes, (flat - self.lower) / self.spacing)
        return torch.nn.functional.normalize(slope, dim=-1).reshape(points.shape)

    def push_out(self, points: Float[Tensor, "*n 3"], clearance: float = 0.0, rounds: int = 2) -> Float[Tensor, "*n 3"]:
        """Points moved along the gradient until they lie about ``clearance`` (m) outside; those outside already stay."""
        for _ in range(rounds):
            depth = torch.relu(clearance - self(points))
            points = points + depth[..., None] * self.gradient(points)
        return points

    def pull_in(self, points: Float[Tensor, "*n 3"], depth: float = 0.0) -> Float[Tensor, "*n 3"]:
        """Points moved against the gradient to about ``depth`` (m) below the surface; those deeper already stay."""
        return points - torch.relu(self(points) + depth)[..., None] * self.gradient(points)
