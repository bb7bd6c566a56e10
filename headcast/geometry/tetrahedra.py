"""Tetrahedral grids (Kuhn's split of a cube lattice) and differentiable marching tetrahedra.

Doi & Koide, "An efficient method of triangulating equi-valued surfaces by using tetrahedral cells", IEICE 1991;
Shen et al., "Deep Marching Tetrahedra", NeurIPS 2021 (gradients of the vertices with respect to distances and points).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from headcast.errors import HeadcastError

EDGES = ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))


class Surface(NamedTuple):
    """A triangle mesh cut out of a tetrahedral grid; normals point towards positive distances."""

    vertices: Float[Tensor, "V 3"]
    faces: Int[Tensor, "T 3"]
    features: Float[Tensor, "V D"] | None


def _even(order: Sequence[int]) -> bool:
    swaps = sum(order[i] > order[j] for i in range(len(order)) for j in range(i + 1, len(order)))
    return swaps % 2 == 0


def kuhn_grid(
    resolution: int | Sequence[int], lower: Sequence[float] | Tensor, upper: Sequence[float] | Tensor
) -> tuple[Float[Tensor, "P 3"], Int[Tensor, "Q 4"]]:
    """A lattice of ``resolution`` cells an axis over the box from ``lower`` to ``upper`` (m), each cell split into six tetrahedra.

    Neighbouring cells share their diagonals, so surfaces cut out of the grid are watertight. All tetrahedra have positive volume.
    """
    cells = [resolution] * 3 if isinstance(resolution, int) else list(resolution)
    if min(cells) < 1:
        raise HeadcastError("tetrahedral grid", f"resolution must be at least 1, not {resolution}")
    low, high = (torch.as_tensor(corner, dtype=torch.float32).tolist() for corner in (lower, upper))
    axes = [torch.linspace(low[i], high[i], cells[i] + 1) for i in range(3)]
    points = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, 3)
    strides = ((cells[1] + 1) * (cells[2] + 1), cells[2] + 1, 1)
    i, j, k = torch.meshgrid(*map(torch.arange, cells), indexing="ij")
    corner = (i * strides[0] + j * strides[1] + k * strides[2]).reshape(-1)
    return points, torch.stack([_path(corner, strides, order) for order in permutations(range(3))], dim=1).reshape(-1, 4)


def _path(corner: Int[Tensor, "n"], strides: Sequence[int], order: Sequence[int]) -> Int[Tensor, "n 4"]:
    """The tetrahedra met when walking each cell's axes in ``order``, with positive volume."""
    offsets = [0]
    for axis in order:
        offsets.append(offsets[-1] + strides[axis])
    if not _even(order):
        offsets[1], offsets[2] = offsets[2], offsets[1]
    return corner[:, None] + torch.tensor(offsets)


def _triangle_table() -> tuple[Int[Tensor, "16 6"], Int[Tensor, "16"]]:
    """For each set of inside corners (bit i = corner i): up to two triangles as indices into ``EDGES``, and their count."""
    table, count = torch.zeros(16, 6, dtype=torch.int64), torch.zeros(16, dtype=torch.int64)
    for case in range(1, 15):
        inside = [i for i in range(4) if case >> i & 1]
        outside = [i for i in range(4) if not case >> i & 1]
        flip = not _even(inside + outside)
        if len(inside) == 2:
            (a, b), (c, d) = inside, outside
            loop = [(a, c), (a, d), (b, d), (b, c)]
            triangles = [[loop[0], loop[1], loop[2]], [loop[0], loop[2], loop[3]]]
        else:
            triangles = [[(i, o) for i in inside for o in outside]]
        for number, triangle in enumerate(triangles):
            ids = [EDGES.index((min(edge), max(edge))) for edge in triangle]
            table[case, 3 * number : 3 * number + 3] = torch.tensor(ids[::-1] if flip else ids)
        count[case] = len(triangles)
    return table, count


TRIANGLES, COUNTS = _triangle_table()


def marching_tetrahedra(
    points: Float[Tensor, "P 3"], sdf: Float[Tensor, "P"], tets: Int[Tensor, "Q 4"], features: Float[Tensor, "P D"] | None = None
) -> Surface:
    """The surface where the signed distance (negative inside) is zero.

    Tetrahedra must have positive volume, as ``kuhn_grid`` makes them. Vertices lie on grid edges by linear interpolation,
    differentiable in ``points`` and ``sdf``; ``features`` are carried with the same weights. Faces turn counter-clockwise
    seen from outside. A distance of exactly zero counts as outside. Raises ``HeadcastError`` if a distance is not finite.
    """
    if not torch.isfinite(sdf.detach()).all():
        raise HeadcastError("marching tetrahedra", "a signed distance is not finite")
    inside = sdf.detach() < 0
    corners = inside[tets]
    number = corners.sum(1)
    cut = tets[(number > 0) & (number < 4)]
    edges = cut[:, torch.tensor(EDGES, device=tets.device)].sort(-1).values
    crossing = inside[edges[..., 0]] != inside[edges[..., 1]]
    keys = (edges[..., 0] * len(points) + edges[..., 1])[crossing]
    unique, inverse = torch.unique(keys, return_inverse=True)
    vertex = torch.full(crossing.shape, -1, dtype=torch.int64, device=tets.device)
    vertex[crossing] = inverse
    ends = torch.stack([unique // len(points), unique % len(points)], dim=1)
    return Surface(*_interpolate(points, sdf, features, ends, _faces(vertex, inside[cut])))


def _faces(vertex: Int[Tensor, "n 6"], corners: Tensor) -> Int[Tensor, "T 3"]:
    case = (corners * torch.tensor([1, 2, 4, 8], device=corners.device)).sum(1)
    triangles = torch.gather(vertex, 1, TRIANGLES.to(vertex.device)[case]).reshape(-1, 2, 3)
    wanted = torch.arange(2, device=vertex.device) < COUNTS.to(vertex.device)[case][:, None]
    return triangles[wanted]


def _interpolate(
    points: Tensor, sdf: Tensor, features: Tensor | None, ends: Int[Tensor, "V 2"], faces: Tensor
) -> tuple[Tensor, Tensor, Tensor | None]:
    first, second = sdf[ends[:, 0]], sdf[ends[:, 1]]
    weight = (first / (first - second))[:, None]
    vertices = torch.lerp(points[ends[:, 0]], points[ends[:, 1]], weight)
    carried = None if features is None else torch.lerp(features[ends[:, 0]], features[ends[:, 1]], weight.to(features.dtype))
    return vertices, faces, carried
