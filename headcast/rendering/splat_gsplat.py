"""Splatting by gsplat (Ye et al., JMLR 2025; Apache-2.0) on CUDA; its first use compiles its kernels with nvcc.

Differs from the other backends in two small ways: alpha is capped at 0.999, and ``K`` receives no gradient.
"""

from __future__ import annotations

from importlib import import_module

import torch
from jaxtyping import Float
from torch import Tensor

from headcast.errors import AssetMissing, HeadcastError
from headcast.rendering.projection import DILATION, NEAR
from headcast.rendering.splat import Info

CHANNELS_AT_ONCE = 32


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
    """Accumulated features, alpha and alpha-weighted depth (m); channels beyond ``CHANNELS_AT_ONCE`` are rendered in chunks."""
    if means.device.type != "cuda":
        raise HeadcastError("rendering backend gsplat", "needs CUDA tensors", "choose warp on a CPU")
    try:
        gsplat = import_module("gsplat")
    except ImportError as error:
        raise AssetMissing("rendering backend gsplat", "gsplat is not installed", "install gsplat or choose warp") from error
    colors, alphas, meta = gsplat.rasterization(
        *(tensor.float() for tensor in (means, quats, scales, opacities, features)),
        world_to_camera.float()[None],
        K.float()[None],
        width,
        height,
        near_plane=NEAR,
        eps2d=DILATION,
        packed=False,
        render_mode="RGB+D",
        channel_chunk=CHANNELS_AT_ONCE,
    )
    radius = meta["radii"][0].to(means.dtype)
    radius = radius.amax(-1) if radius.ndim == 2 else radius
    info = Info(meta["means2d"][0], torch.where(radius > 0, radius, -1), radius > 0)
    return colors[0, ..., :-1], alphas[0, ..., 0], colors[0, ..., -1], info
