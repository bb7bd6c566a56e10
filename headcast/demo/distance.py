"""Signed distance on a regular grid, for keeping hair out of the head and bust. NumPy to evaluate, SciPy to build."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float, Int

SURFACE_SAMPLES = 30_000
DEEPEST = 0.03  # farther inside an open surface (m), the sign is not to be trusted


@dataclass(frozen=True)
class DistanceGrid:
    """``values`` X Y Z: signed distance (m, positive outside) at ``lower`` + ``spacing`` · index."""

    values: Float[np.ndarray, "X Y Z"]
    lower: Float[np.ndarray, "3"]
    spacing: float

    def __call__(self, points: Float[np.ndarray, "n 3"]) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "n 3"]]:
        """Distance (m) and its unit gradient at ``points``, trilinear; clamped to the grid's border."""
        position = (points - self.lower) / self.spacing
        limit = np.array(self.values.shape) - 1
        position = np.clip(position, 0, limit - 1e-6)
        base = position.astype(np.int64)
        f = position - base
        corners = self._corners(base)
        c00, c01, c10, c11 = (corners[i] + f[:, 0] * (corners[i + 4] - corners[i]) for i in range(4))
        c0, c1 = c00 + f[:, 1] * (c10 - c00), c01 + f[:, 1] * (c11 - c01)
        dx = np.stack([corners[i + 4] - corners[i] for i in range(4)])
        dx0, dx1 = dx[0] + f[:, 1] * (dx[2] - dx[0]), dx[1] + f[:, 1] * (dx[3] - dx[1])
        dy0, dy1 = c10 - c00, c11 - c01
        gradient = np.stack([dx0 + f[:, 2] * (dx1 - dx0), dy0 + f[:, 2] * (dy1 - dy0), c1 - c0], axis=1)
        return c0 + f[:, 2] * (c1 - c0), gradient / (np.linalg.norm(gradient, axis=1, keepdims=True) + 1e-9)

    def _corners(self, base: Int[np.ndarray, "n 3"]) -> Float[np.ndarray, "8 n"]:
        offsets = [(i, j, k) for i in (0, 1) for j in (0, 1) for k in (0, 1)]
        x, y, z = base.T
        return np.stack([self.values[x + i, y + j, z + k] for i, j, k in offsets]).astype(np.float64)

    def push_out(
        self, points: Float[np.ndarray, "n 3"], margin: Float[np.ndarray, "n"] | float, passes: int = 1
    ) -> Float[np.ndarray, "n 3"]:
        """Move points that are nearer than ``margin`` (m) outwards to that distance."""
        out = points.copy()
        wanted = np.broadcast_to(margin, len(points))
        upper = self.lower + (np.array(self.values.shape) - 1) * self.spacing
        for _ in range(passes):
            candidate = np.flatnonzero(((out > self.lower) & (out < upper)).all(axis=1))
            distance, gradient = self(out[candidate])
            near = (distance < wanted[candidate]) & (distance > -DEEPEST)
            rows = candidate[near]
            out[rows] += gradient[near] * (wanted[rows] - distance[near])[:, None]
        return out


def distance_grid(
    vertices: Float[np.ndarray, "V 3"], triangles: Int[np.ndarray, "T 3"], margin: float = 0.06, spacing: float = 0.005
) -> DistanceGrid:
    """Signed distance to an open or closed surface; the sign is that of the nearest samples' normals."""
    from scipy.ndimage import gaussian_filter
    from scipy.spatial import cKDTree

    from headcast.demo.surfaces import at_barycentric, sample, vertex_normals

    rng = np.random.default_rng(0)
    rows, weights = sample(vertices, triangles, np.ones(len(triangles)), SURFACE_SAMPLES, rng)
    points = at_barycentric(vertices, triangles[rows], weights)
    normals = at_barycentric(vertex_normals(vertices, triangles), triangles[rows], weights)
    lower = points.min(axis=0) - margin
    shape = np.ceil((points.max(axis=0) + margin - lower) / spacing).astype(int) + 1
    axes = [lower[k] + spacing * np.arange(shape[k]) for k in range(3)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    distance, nearest = cKDTree(points).query(grid, k=3, eps=0.2)
    side = np.einsum("nkd,nkd->n", grid[:, None] - points[nearest], normals[nearest])
    signed = (distance[:, 0] * np.where(side < 0, -1, 1)).reshape(shape)
    return DistanceGrid(gaussian_filter(signed, 0.7).astype(np.float32), lower, spacing)
