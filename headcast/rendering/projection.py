"""From Gaussians in the world to ellipses on the screen; plain torch, any dtype and device."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from headcast.geometry.rotations import quaternion_to_matrix

NEAR = 0.01
DILATION = 0.3
MIN_ALPHA = 1 / 255
MAX_ALPHA = 0.99
MIN_TRANSMITTANCE = 1e-4
FIELD_MARGIN = 0.15  # how far beyond the image border, in image sizes, the projection is still linearised at the true position


class Projection(NamedTuple):
    """Ellipses on the screen: centres (px), inverse covariances (xx, xy, yy; px⁻²), depths (m), half boxes (px; -1 if culled)."""

    xy: Float[Tensor, "N 2"]
    conic: Float[Tensor, "N 3"]
    depth: Float[Tensor, "N"]
    radius: Float[Tensor, "N 2"]


class Tiles(NamedTuple):
    """For tile t (row-major), the Gaussians ``ids[offset[t]:offset[t + 1]]`` from near to far.

    ``slot`` numbers the entries Gaussian by Gaussian: those of Gaussian g are ``start[g]:start[g + 1]``.
    """

    offset: Int[Tensor, "tiles_plus_1"]
    ids: Int[Tensor, "M"]
    slot: Int[Tensor, "M"]
    start: Int[Tensor, "N_plus_1"]


def project(
    means: Float[Tensor, "N 3"],
    quats: Float[Tensor, "N 4"],
    scales: Float[Tensor, "N 3"],
    opacities: Float[Tensor, "N"],
    world_to_camera: Float[Tensor, "4 4"],
    K: Float[Tensor, "3 3"],
    width: int,
    height: int,
) -> Projection:
    """EWA projection: the covariance through the Jacobian of the pinhole, plus the dilation; differentiable in all tensors.

    The half box is exact: outside it the Gaussian's alpha is below 1/255. Culled are Gaussians nearer than ``NEAR``, those too
    transparent to be seen and those whose box misses the image. Skew in ``K`` is ignored.
    """
    local = means @ world_to_camera[:3, :3].T + world_to_camera[:3, 3]
    ahead = local[:, 2] > NEAR
    x, y = local[:, 0], local[:, 1]
    z = torch.where(ahead, local[:, 2], torch.ones_like(x))
    fx, fy, cx, cy = K[0, 0], K[1, 1], K[0, 2], K[1, 2]
    u, v = _bounded(x / z, fx, cx, width), _bounded(y / z, fy, cy, height)
    root = world_to_camera[:3, :3] @ (quaternion_to_matrix(quats) * scales[:, None, :])
    rows = (
        torch.stack([fx * (root[:, 0] - u[:, None] * root[:, 2]), fy * (root[:, 1] - v[:, None] * root[:, 2])], dim=1)
        / z[:, None, None]
    )
    xx = rows[:, 0].square().sum(-1) + DILATION
    xy = (rows[:, 0] * rows[:, 1]).sum(-1)
    yy = rows[:, 1].square().sum(-1) + DILATION
    determinant = xx * yy - xy * xy
    conic = torch.stack([yy, -xy, xx], dim=-1) / determinant[:, None]
    center = torch.stack([fx * x / z + cx, fy * y / z + cy], dim=-1)
    return Projection(center, conic, z, _half_box(center, xx, yy, opacities, ahead, width, height))


def _bounded(ratio: Tensor, focal: Tensor, center: Tensor, size: int) -> Tensor:
    """The slope x/z kept within the field of view plus a margin, where linearising the pinhole is sensible."""
    margin = FIELD_MARGIN * size
    return torch.minimum(torch.maximum(ratio, (-margin - center) / focal), (size + margin - center) / focal)


@torch.no_grad()
def _half_box(center: Tensor, xx: Tensor, yy: Tensor, opacities: Tensor, ahead: Tensor, width: int, height: int) -> Tensor:
    level = 2 * torch.log((opacities / MIN_ALPHA).clamp_min(1e-30))
    radius = (level.clamp_min(0)[:, None] * torch.stack([xx, yy], dim=-1)).sqrt()
    size = torch.tensor([width, height], dtype=center.dtype, device=center.device)
    hit = ((center + radius > 0) & (center - radius < size)).all(-1)
    return torch.where((ahead & hit & (level > 0))[:, None], radius, torch.full_like(radius, -1))
