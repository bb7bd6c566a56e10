"""What changes on a Gaussian with the expression and the pose: a small network per point, and colour over the viewing direction.

The expression code is the same for all points of a frame, so it enters as one bias of the first layer, computed once and never
repeated per point (Gaussian Head Avatar, Xu et al., CVPR 2024, conditions each point on the code: the same function, far cheaper).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

SH_C1 = 0.4886025119029199
"""Real spherical harmonics of degree 1: sqrt(3 / 4 pi)."""


class ConditionedMLP(nn.Module):
    """Residuals of every point from its latent (L) and one condition (C) of the frame; zero at the start and for a zero condition.

    ``r = f(latent, condition) − f(latent, 0)``: the rest state belongs to the mean attributes, never to a residual.
    """

    def __init__(self, latent: int, condition: int, outputs: int, width: int = 32) -> None:
        super().__init__()
        self.point = nn.Linear(latent, width)
        self.code = nn.Linear(condition, width, bias=False)
        self.hidden = nn.Linear(width, width)
        self.output = nn.Linear(width, outputs, bias=False)

    @torch.no_grad()
    def reset(self, generator: torch.Generator) -> None:
        """Draw the first layers from ``generator`` (He initialisation); the last layer starts at zero."""
        for layer in (self.point, self.code, self.hidden):
            layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator) * (2 / layer.weight.shape[1]) ** 0.5)
        self.point.bias.zero_()
        self.hidden.bias.zero_()
        self.output.weight.zero_()

    def forward(self, latent: Float[Tensor, "N L"], condition: Float[Tensor, "C"]) -> Float[Tensor, "N D"]:
        """Residuals at ``condition``."""
        point = self.point(latent)
        hidden = torch.relu(self.hidden(torch.relu(point + self.code(condition)))) - torch.relu(self.hidden(torch.relu(point)))
        return self.output(hidden)


def view_color(
    color: Float[Tensor, "N 3"],
    color_sh: Float[Tensor, "N 3 3"],
    means: Float[Tensor, "N 3"],
    camera_center: Float[Tensor, "3"] | None,
) -> Float[Tensor, "N 3"]:
    """sRGB-encoded colour seen from ``camera_center`` (world, m): spherical harmonics of degree 1; without it their mean."""
    if camera_center is None:
        return color
    view = torch.nn.functional.normalize(means - camera_center, dim=-1)
    return color + SH_C1 * (color_sh * view[:, :, None]).sum(1)
