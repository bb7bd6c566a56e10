"""The direction of hair in space: lifted from several views, then diffused to where no camera sees.

A picture tells the plane that holds a strand: the one through the camera centre and the strand's image. Planes of several views
meet in its direction (line-based multi-view stereo: Nam et al., CVPR 2019). Directions have no sign, so they are averaged as
tensors d dᵀ. Where nothing is seen the field is filled in by diffusion (Laplace equation with data terms), helped by a weak prior.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.ndimage import distance_transform_edt, gaussian_filter
from torch import Tensor
from torch.nn import functional

from headcast.avatar.distance_grid import SignedDistanceGrid
from headcast.avatar.hair_volume import PooledView, visible_in
from headcast.avatar.voxel_grid import VoxelGrid

ROBUST_ROUNDS, ROBUST_SINE = 4, 0.25
"""Planes whose normal is further from perpendicular than this sine lose their say (Cauchy weights)."""
TANGENT_WEIGHT = 0.15
"""Prior: a seen strand lies along the surface of the head, worth this share of one fully confident view."""
PRIOR_WEIGHT = 0.02
"""Prior in unseen hair: it falls along the head with gravity, worth this share of a neighbour in the diffusion."""
DIFFUSION_STEPS = 200
EYE_SIX = (0, 1, 2, 0, 0, 1), (0, 1, 2, 1, 2, 2)


class Lifted(NamedTuple):
    """Unit directions (sign arbitrary) at points and how much to trust them in [0, 1]; 0 = seen by less than two views."""

    directions: Float[Tensor, "n 3"]
    confidence: Float[Tensor, "n"]


class OrientationField(NamedTuple):
    """Hair in space: its ``occupancy``, symmetric direction tensors (xx yy zz xy xz yz, trace 1) and the trust in what was seen.

    ``layer`` is 0 at the head and 1 at the outer surface of the hair, from which ``border`` is the distance.
    """

    grid: VoxelGrid
    occupancy: Bool[Tensor, "X Y Z"]
    tensors: Float[Tensor, "X Y Z 6"]
    confidence: Float[Tensor, "X Y Z"]
    layer: Float[Tensor, "X Y Z"]
    border: SignedDistanceGrid


def pack(directions: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n 6"]:
    """The symmetric tensor d dᵀ as its six entries."""
    return directions[..., EYE_SIX[0]] * directions[..., EYE_SIX[1]]


def apply(tensors: Float[Tensor, "*n 6"], directions: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n 3"]:
    """The packed symmetric tensors times the directions."""
    return (unpack(tensors) @ directions[..., None])[..., 0]


def unpack(tensors: Float[Tensor, "*n 6"]) -> Float[Tensor, "*n 3 3"]:
    """Packed symmetric tensors as matrices."""
    order = torch.tensor((0, 3, 4, 3, 1, 5, 4, 5, 2), device=tensors.device)
    return tensors[..., order].unflatten(-1, (3, 3))


def principal(tensors: Float[Tensor, "n 6"]) -> Float[Tensor, "n 3"]:
    """The dominant direction of each tensor (unit, sign arbitrary)."""
    return torch.linalg.eigh(unpack(tensors))[1][..., -1]


def plane_normals(view: PooledView, points: Float[Tensor, "n 3"]) -> tuple[Float[Tensor, "n 3"], Float[Tensor, "n"]]:
    """Normals (skull frame) of the planes in which one view sees the hair at points, and the confidence of that view."""
    _, cosine, sine, weight = view.sample(view.maps, points).T
    angle = 0.5 * torch.atan2(sine, cosine)
    ray = functional.normalize(view.camera_points(points), dim=-1)
    image_direction = torch.stack((angle.sin(), angle.cos(), torch.zeros_like(angle)), dim=-1)
    normal = functional.normalize(torch.linalg.cross(ray, image_direction), dim=-1)
    strength = torch.hypot(cosine, sine)
    return normal @ view.pose[:3, :3], torch.where(weight > 1e-3, strength, torch.zeros_like(weight))


def lift(
    points: Float[Tensor, "n 3"],
    outward: Float[Tensor, "n 3"],
    views: list[PooledView],
    surface: Float[Tensor, "m 3"],
    spacing: float,
) -> Lifted:
    """The 3-D direction at each point that best explains the 2-D angles of the views that see it.

    Minimises Σ w (n·d)² over unit d by the smallest eigenvector, re-weighted against outliers. ``outward`` is the head's normal
    there; ``surface`` (m) are the points that can hide others. Points seen by fewer than two views get confidence 0.
    """
    parts = [plane_normals(view, points) for view in views]
    normals = torch.stack([part[0] for part in parts])
    weights = torch.stack([part[1] * visible_in(view, points, surface, spacing) for part, view in zip(parts, views, strict=True)])
    robust = torch.ones_like(weights)
    for _ in range(ROBUST_ROUNDS):
        scatter = torch.einsum("vn,vni,vnj->nij", weights * robust, normals, normals)
        values, vectors = torch.linalg.eigh(scatter + TANGENT_WEIGHT * outward[:, :, None] * outward[:, None, :])
        direction = vectors[..., 0]
        robust = 1 / (1 + (torch.einsum("vni,ni->vn", normals, direction) / ROBUST_SINE).square())
    enough = (weights > 0.05).sum(0) >= 2
    clear = (values[:, 1] - values[:, 0]) / values[:, 1:].sum(-1).clamp_min(1e-6) * 2
    support = (weights * robust).sum(0) / ((weights * robust).sum(0) + 1)
    return Lifted(direction, torch.where(enough, clear.clamp(0, 1) * support, torch.zeros_like(support)))


def downhill(points: Float[Tensor, "n 3"], outward: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
    """The prior where nothing is seen: down (−y of the skull frame), along the head where that is in the way."""
    down = torch.tensor((0.0, -1.0, 0.0)).to(points).expand_as(points)
    return down - (down * outward).sum(-1, keepdim=True).clamp_max(0) * outward


def diffuse(
    tensors: Float[Tensor, "X Y Z 6"],
    confidence: Float[Tensor, "X Y Z"],
    prior: Float[Tensor, "X Y Z 6"],
    domain: Bool[Tensor, "X Y Z"],
    steps: int = DIFFUSION_STEPS,
) -> Float[Tensor, "X Y Z 6"]:
    """Fill ``domain`` smoothly: each voxel is the mean of its neighbours, its data (by confidence) and the weak prior.

    Jacobi iterations of the screened Laplace equation; the prior's trace scales its weight. Returns tensors of trace 1.
    """
    data_weight = (6 * confidence / (1 - confidence).clamp_min(0.05))[domain][:, None]
    prior_weight = 6 * PRIOR_WEIGHT
    source = data_weight * tensors[domain] + prior_weight * prior[domain]
    index = neighbour_index(domain)
    present = (index < len(source)).sum(1, keepdim=True)
    total = (data_weight + prior_weight * prior[domain][:, :3].sum(-1, keepdim=True) + present).clamp_min(1e-6)
    state = functional.pad(source / total, (0, 0, 0, 1))
    for _ in range(steps):
        state[:-1] = (source + state[index.flatten()].unflatten(0, index.shape).sum(1)) / total
    filled = torch.zeros_like(tensors)
    filled[domain] = state[:-1] / state[:-1, :3].sum(-1, keepdim=True).clamp_min(1e-9)
    return filled


def neighbour_index(domain: Bool[Tensor, "X Y Z"]) -> Int[Tensor, "n 6"]:
    """For each voxel of the domain (in flat order) its six neighbours' positions among them; n where a neighbour is outside."""
    count = int(domain.sum())
    number = torch.full(domain.shape, count, dtype=torch.long, device=domain.device)
    number[domain] = torch.arange(count, device=domain.device)
    padded = functional.pad(number, (1, 1, 1, 1, 1, 1), value=count)
    core, shifts = slice(1, -1), (slice(2, None), slice(None, -2))
    around = [padded[tuple(s if a == axis else core for a in range(3))][domain] for axis in range(3) for s in shifts]
    return torch.stack(around, dim=1)


def outer_border(occupancy: Bool[Tensor, "X Y Z"], grid: VoxelGrid, head: SignedDistanceGrid) -> SignedDistanceGrid:
    """The distance (m) to the surface of hair and head together, smoothed over a voxel."""
    filled = (occupancy | (head(grid.centers()).reshape(grid.shape) <= 0)).cpu().numpy()
    steps = np.where(filled, 0.5 - distance_transform_edt(filled), distance_transform_edt(~filled) - 0.5)
    return SignedDistanceGrid(torch.as_tensor(grid.spacing * gaussian_filter(steps, 1.0)).to(grid.lower), grid.lower, grid.spacing)


def layers(grid: VoxelGrid, head: SignedDistanceGrid, border: SignedDistanceGrid) -> Float[Tensor, "X Y Z"]:
    """How far out in the hair each voxel lies: 0 at the head, 1 at the outer surface (and beyond)."""
    height = head(grid.centers()).reshape(grid.shape).clamp_min(0)
    return height / (height + (-border.values).clamp_min(0)).clamp_min(1e-6)


def outer_surface(occupancy: Bool[Tensor, "X Y Z"]) -> Bool[Tensor, "X Y Z"]:
    """Occupied voxels that touch an empty one by a face."""
    surface = torch.zeros_like(occupancy)
    index = neighbour_index(occupancy)
    surface[occupancy] = (index == len(index)).any(1)
    return surface


def orientation_field(
    grid: VoxelGrid, occupancy: Bool[Tensor, "X Y Z"], views: list[PooledView], head: SignedDistanceGrid
) -> OrientationField:
    """Lift the orientation onto what the views see of ``occupancy`` and diffuse it through the rest."""
    centers = grid.centers()
    outward = head.gradient(centers)
    filled = occupancy.flatten()
    surface = centers[outer_surface(occupancy).flatten()]
    lifted = lift(centers[filled], outward[filled], views, surface, grid.spacing)
    tensors, confidence = torch.zeros(len(centers), 6).to(centers), torch.zeros(len(centers)).to(centers)
    tensors[filled], confidence[filled] = pack(lifted.directions), lifted.confidence
    domain = occupancy | (functional.max_pool3d(occupancy.float()[None], 3, 1, 1)[0] > 0)
    confidence = confidence.reshape(grid.shape)
    prior = pack(downhill(centers, outward)).reshape(*grid.shape, 6)
    field = diffuse(tensors.reshape(*grid.shape, 6), confidence, prior, domain)
    border = outer_border(occupancy, grid, head)
    return OrientationField(grid, occupancy, field, confidence, layers(grid, head, border), border)
