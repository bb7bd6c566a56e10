"""The visual hull: which points project into the matte of every view (Laurentini, PAMI 1994)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from headcast.capture.camera import Camera
from headcast.errors import HeadcastError


def carve(
    points: Float[np.ndarray, "P 3"], mattes: Mapping[str, np.ndarray], cameras: Mapping[str, Camera], threshold: float = 0.5
) -> Float[np.ndarray, "P"]:
    """The share of the views that see a world point (m) whose matte covers its projection.

    Covered means a matte above ``threshold``; a point that no view sees gets NaN.

    ``mattes`` maps serials to "H W" arrays, float in [0, 1] or uint8; each has the size of its camera. Points in front of a camera
    and inside its image count as seen.
    """
    covered, seen = np.zeros(len(points)), np.zeros(len(points))
    for serial in sorted(mattes):
        camera, matte = cameras[serial], mattes[serial]
        if matte.shape != (camera.height, camera.width):
            raise HeadcastError(f"camera {serial}", f"matte is {matte.shape}, the camera {(camera.height, camera.width)}")
        value = sample_matte(torch.from_numpy(np.ascontiguousarray(matte)), torch.from_numpy(camera.project(points))).numpy()
        seen += np.isfinite(value)
        covered += np.nan_to_num(value) > threshold
    return np.where(seen > 0, covered / np.maximum(seen, 1), np.nan)


def carve_views(
    points: Float[Tensor, "P 3"],
    mattes: Tensor,
    K: Float[Tensor, "n 3 3"],
    world_to_camera: Float[Tensor, "n 4 4"],
    threshold: float = 0.5,
) -> Float[Tensor, "P"]:
    """``carve`` for stacked views: ``mattes`` "n H W", uint8 or float in [0, 1]."""
    covered, seen = torch.zeros_like(points[:, 0]), torch.zeros_like(points[:, 0])
    for matte, intrinsics, pose in zip(mattes, K.to(points), world_to_camera.to(points), strict=True):
        local = points @ pose[:3, :3].T + pose[:3, 3]
        pixels = (local @ intrinsics.T)[:, :2] / local[:, 2:]
        value = sample_matte(matte, torch.where(local[:, 2:] > 0, pixels, torch.nan))
        seen += torch.isfinite(value)
        covered += torch.nan_to_num(value) > threshold
    return torch.where(seen > 0, covered / seen.clamp_min(1), torch.nan)


def sample_matte(matte: Tensor, pixels: Float[Tensor, "P 2"]) -> Float[Tensor, "P"]:
    """The matte ("H W", uint8 or float) at pixel positions (centres at +0.5), bilinearly; NaN outside the image."""
    height, width = matte.shape
    values = matte.to(pixels.dtype) / 255 if matte.dtype == torch.uint8 else matte.to(pixels.dtype)
    x, y = pixels.unbind(1)
    inside = (x >= 0) & (x <= width) & (y >= 0) & (y <= height)
    grid = torch.stack([torch.where(inside, 2 * x / width - 1, 0), torch.where(inside, 2 * y / height - 1, 0)], dim=1)
    picture, grid = values[None, None], grid[None, None]
    sampled = torch.nn.functional.grid_sample(picture, grid, padding_mode="border", align_corners=False)[0, 0, 0]
    return torch.where(inside, sampled, torch.nan)
