"""The slow twin: every Gaussian against every pixel in plain torch, any dtype; the oracle of the other backends' tests."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from headcast.rendering.projection import MAX_ALPHA, MIN_ALPHA, MIN_TRANSMITTANCE, Projection, project
from headcast.rendering.splat import Info


def splat(
    means: Float[Tensor, "N 3"],
    quats: Float[Tensor, "N 4"],
    scales: Float[Tensor, "N 3"],
    opacities: Float[Tensor, "N"],
    features: Float[Tensor, "N D"],
    world_to_camera: Float[Tensor, "4 4"],
    K: Float[Tensor, "3 3"],
    width: int,
    height: int,
) -> tuple[Float[Tensor, "H W D"], Float[Tensor, "H W"], Float[Tensor, "H W"], Info]:
    """Accumulated features, alpha and alpha-weighted depth (m); memory grows with pixels × visible Gaussians."""
    projection = project(means, quats, scales, opacities, world_to_camera, K, width, height)
    visible = projection.radius[:, 0] >= 0
    info = Info(projection.xy, projection.radius.amax(-1), visible)
    index = torch.nonzero(visible)[:, 0]
    index = index[torch.argsort(projection.depth[index], stable=True)]
    near_to_far = Projection(*(tensor[index] for tensor in projection))
    weight, alpha = _weights(near_to_far, opacities[index], width, height)
    channels = torch.cat([features[index], near_to_far.depth[:, None]], dim=1)
    total = (weight @ channels).reshape(height, width, -1)
    return total[..., :-1], alpha.reshape(height, width), total[..., -1], info


def _weights(
    projection: Projection, opacities: Tensor, width: int, height: int
) -> tuple[Float[Tensor, "HW N"], Float[Tensor, "HW"]]:
    """What each Gaussian, near to far, contributes to each pixel, and how opaque the pixel becomes."""
    rows, columns = (torch.arange(size, device=opacities.device).to(opacities) + 0.5 for size in (height, width))
    rows, columns = torch.meshgrid(rows, columns, indexing="ij")
    pixels = torch.stack([columns, rows], dim=-1).reshape(-1, 1, 2)
    dx, dy = (pixels - projection.xy).unbind(-1)
    xx, xy, yy = projection.conic.unbind(-1)
    alpha = (opacities * torch.exp(-0.5 * (xx * dx * dx + yy * dy * dy) - xy * dx * dy)).clamp_max(MAX_ALPHA)
    alpha = torch.where(alpha < MIN_ALPHA, torch.zeros_like(alpha), alpha)
    after = torch.cumprod(1 - alpha, dim=1)
    before = torch.cat([torch.ones_like(after[:, :1]), after[:, :-1]], dim=1)
    weight = torch.where(after >= MIN_TRANSMITTANCE, alpha * before, torch.zeros_like(alpha))
    return weight, weight.sum(1)
