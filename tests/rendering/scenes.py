"""Small clouds of Gaussians before a camera, with everything that can go wrong mixed in."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

WIDTH, HEIGHT = 44, 30


class Scene(NamedTuple):
    """The arguments of ``render`` up to the background."""

    means: Tensor
    quats: Tensor
    scales: Tensor
    opacities: Tensor
    features: Tensor
    world_to_camera: Tensor
    K: Tensor
    width: int
    height: int

    def to(self, dtype: torch.dtype) -> Scene:
        """The same scene in another dtype, its five Gaussian tensors asking for gradients."""
        gaussians = [tensor.detach().to(dtype).requires_grad_() for tensor in self[:5]]
        return Scene(*gaussians, self.world_to_camera.to(dtype), self.K.to(dtype), self.width, self.height)


def cloud(count: int = 150, channels: int = 5, seed: int = 0, spread: float = 0.006) -> Scene:
    """Gaussians of many sizes and opacities in a 10 cm blob 0.5 m away; the camera is turned, its principal point off centre."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    pose = torch.eye(4, dtype=torch.float64)
    pose[:3, :3] = torch.linalg.qr(torch.eye(3, dtype=torch.float64) + 0.1 * normal(3, 3)).Q
    pose[:3, :3] *= torch.linalg.det(pose[:3, :3])
    pose[:3, 3] = torch.tensor([0.01, -0.02, 0.5])
    K = torch.tensor([[150.0, 0, 19.3], [0, 140, 17.8], [0, 0, 1]], dtype=torch.float64)
    opacities = torch.sigmoid(2.5 * normal(count) + 0.5)
    tensors = (
        0.04 * normal(count, 3),
        normal(count, 4),
        spread * torch.exp(0.7 * normal(count, 3)),
        opacities,
        normal(count, channels),
    )
    return Scene(*tensors, pose, K, WIDTH, HEIGHT)
