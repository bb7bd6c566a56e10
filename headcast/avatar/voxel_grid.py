"""A regular grid of voxels in the canonical skull frame, and how to read between its samples."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import grid_sample


def trilinear(values: Float[Tensor, "X Y Z D"], place: Float[Tensor, "n 3"]) -> Float[Tensor, "n D"]:
    """Values at fractional grid coordinates (sample (i, j, k) lies at (i, j, k)), constant beyond the border; differentiable."""
    # The grid sampler takes the last axis first, and the borders at ±1.
    places = torch.stack([2 * place[:, axis] / (values.shape[axis] - 1) - 1 for axis in (2, 1, 0)], dim=-1)
    volume = values.movedim(-1, 0)[None]
    sampled = grid_sample(volume, places[None, None, None], padding_mode="border", align_corners=True)
    return sampled[0, :, 0, 0].T


@dataclass(frozen=True)
class VoxelGrid:
    """Where the voxels are: sample (i, j, k) at ``lower + spacing (i, j, k)`` (m, skull frame)."""

    lower: Float[Tensor, "3"]
    spacing: float
    shape: tuple[int, int, int]

    @classmethod
    def around(cls, lower: Float[Tensor, "3"], upper: Float[Tensor, "3"], spacing: float) -> VoxelGrid:
        """The grid that covers the box from ``lower`` to ``upper`` (m)."""
        counts = ((upper - lower) / spacing).ceil().long() + 1
        return cls(lower, spacing, (int(counts[0]), int(counts[1]), int(counts[2])))

    def centers(self) -> Float[Tensor, "n 3"]:
        """All sample positions (m), the last axis fastest."""
        axes = [torch.arange(count, device=self.lower.device, dtype=self.lower.dtype) for count in self.shape]
        return self.lower + self.spacing * torch.cartesian_prod(*axes)

    def sample(self, values: Float[Tensor, "X Y Z D"], points: Float[Tensor, "n 3"]) -> Float[Tensor, "n D"]:
        """Trilinear values at points (m); zero outside of the grid."""
        place = (points - self.lower) / self.spacing
        size = torch.tensor(self.shape, device=points.device)
        within = ((place >= 0) & (place <= size - 1)).all(-1, keepdim=True)
        return torch.where(within, trilinear(values, place), torch.zeros((), device=points.device, dtype=values.dtype))

    def nearest(self, points: Float[Tensor, "n 3"]) -> Int[Tensor, "n"]:
        """The flat index of the sample next to each point, clamped to the grid."""
        size = torch.tensor(self.shape, device=points.device)
        place = torch.minimum(((points - self.lower) / self.spacing).round().long().clamp_min(0), size - 1)
        return (place[:, 0] * self.shape[1] + place[:, 1]) * self.shape[2] + place[:, 2]
