"""Splatting by diff-gaussian-rasterization (Kerbl et al., SIGGRAPH 2023), where the user installed it (research licence).

Its channel count is fixed when it is compiled (3, or 32 in some forks); it is found by trying, and features, alpha
and depth are rendered in chunks of it. It culls Gaussians nearer than 0.2 m and gives no gradients to the camera.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from headcast.errors import AssetMissing, HeadcastError
from headcast.rendering.projection import NEAR
from headcast.rendering.splat import Info

FAR = 100.0


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
    """Accumulated features, alpha and alpha-weighted depth (m); alpha and depth are two more channels."""
    if means.device.type != "cuda":
        raise HeadcastError("rendering backend inria", "needs CUDA tensors", "choose warp on a CPU")
    module = _module()
    pose, intrinsics = world_to_camera.detach().float(), K.detach().float()
    depth = means @ world_to_camera[2, :3] + world_to_camera[2, 3]
    channels = torch.cat([features, torch.ones_like(depth)[:, None], depth[:, None]], dim=1).float()
    gaussians = [tensor.float() for tensor in (means, torch.nn.functional.normalize(quats, dim=-1), scales, opacities[:, None])]
    count = _channel_count(module, pose, intrinsics)
    screen = torch.zeros_like(gaussians[0], requires_grad=True)
    rasterizer = module.GaussianRasterizer(_settings(module, pose, intrinsics, width, height, count))
    images, radius = [], torch.zeros(0)
    for chunk in channels.split(count, dim=1):
        colors = torch.nn.functional.pad(chunk, (0, count - chunk.shape[1])).contiguous()
        image, radius = _draw(rasterizer, gaussians, screen, colors)
        images.append(image[: chunk.shape[1]])
    total = torch.cat(images).movedim(0, -1)
    info = Info(screen[:, :2], radius.to(means.dtype), radius > 0)
    return total[..., :-2], total[..., -2], total[..., -1], info


def _module() -> Any:
    try:
        return import_module("diff_gaussian_rasterization")
    except ImportError as error:
        raise AssetMissing(
            "rendering backend inria", "diff_gaussian_rasterization is not installed", "choose gsplat or warp"
        ) from error


def _draw(rasterizer: Any, gaussians: list[Tensor], screen: Tensor, colors: Tensor) -> tuple[Tensor, Tensor]:
    means, rotations, scales, opacities = gaussians
    arguments = {"means3D": means, "means2D": screen, "opacities": opacities, "scales": scales, "rotations": rotations}
    result = rasterizer(**arguments, colors_precomp=colors)
    return result[0], result[1]


def _channel_count(module: Any, pose: Tensor, K: Tensor) -> int:
    """How many channels the installed rasterizer was compiled for: it allocates them even when there is nothing to draw."""
    empty = [torch.zeros(0, size, device=pose.device) for size in (3, 4, 3, 1)]
    rasterizer = module.GaussianRasterizer(_settings(module, pose, K, 16, 16, 64))
    with torch.no_grad():
        return _draw(rasterizer, empty, torch.zeros_like(empty[0]), torch.zeros(0, 64, device=pose.device))[0].shape[0]


def _settings(module: Any, pose: Tensor, K: Tensor, width: int, height: int, channels: int) -> Any:
    """The rasterizer's settings, in which matrices are transposed; fields that a version does not know are left out."""
    values = {
        "image_height": height,
        "image_width": width,
        "tanfovx": width / (2 * float(K[0, 0])),
        "tanfovy": height / (2 * float(K[1, 1])),
        "bg": torch.zeros(channels, device=pose.device),
        "scale_modifier": 1.0,
        "viewmatrix": pose.T.contiguous(),
        "projmatrix": (clip_matrix(K, width, height) @ pose).T.contiguous(),
        "sh_degree": 0,
        "campos": torch.linalg.inv(pose)[:3, 3].contiguous(),
        "prefiltered": False,
        "debug": False,
        "antialiasing": False,
    }
    settings = module.GaussianRasterizationSettings
    return settings(**{name: value for name, value in values.items() if name in settings._fields})


def clip_matrix(K: Float[Tensor, "3 3"], width: int, height: int) -> Float[Tensor, "4 4"]:
    """Camera coordinates to clip space, x and y from -1 to 1 across the image, depth from 0 at ``NEAR`` to 1 at ``FAR``."""
    matrix = torch.zeros(4, 4, dtype=K.dtype, device=K.device)
    matrix[0, 0], matrix[0, 2] = 2 * K[0, 0] / width, 2 * K[0, 2] / width - 1
    matrix[1, 1], matrix[1, 2] = 2 * K[1, 1] / height, 2 * K[1, 2] / height - 1
    matrix[2, 2], matrix[2, 3], matrix[3, 2] = FAR / (FAR - NEAR), -FAR * NEAR / (FAR - NEAR), 1.0
    return matrix
