"""Pictures of an avatar: all layers in one pass, so that colour, labels, hair orientation and depth come from the same blending."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import interpolate

from headcast.avatar.strands import screen_features
from headcast.avatar.super_resolution import FACTOR, SuperResolution
from headcast.rendering.splat import Gaussians, concatenate, render

CHANNELS = 7
"""What is splatted besides detail."""
RGB, HEAD, HAIR, ORIENTATION = slice(0, 3), 3, 4, slice(5, 7)


@dataclass(frozen=True)
class Rendered:
    """One picture: sRGB-encoded ``image``, coverage ``alpha``, visible ``hair``, ``depth`` (m), ``orientation`` (doubled angle).

    ``detail`` is what the Gaussians tell super-resolution; without it there are no channels.
    """

    image: Float[Tensor, "H W 3"]
    alpha: Float[Tensor, "H W"]
    hair: Float[Tensor, "H W"]
    depth: Float[Tensor, "H W"]
    orientation: Float[Tensor, "H W 2"]
    detail: Float[Tensor, "H W D"]

    def planes(self) -> Float[Tensor, "C H W"]:
        """Everything that super-resolution sees: colours, coverage, hair, orientation, detail."""
        parts = (self.image, self.alpha[..., None], self.hair[..., None], self.orientation, self.detail)
        return torch.cat(parts, dim=-1).permute(2, 0, 1)


def splat(
    layers: Sequence[Gaussians],
    world_to_camera: Float[Tensor, "4 4"],
    K: Float[Tensor, "3 3"],
    width: int,
    height: int,
    backend: str = "auto",
) -> Rendered:
    """Splat all layers in one pass, so that they occlude each other, on black."""
    gaussians = concatenate(layers)
    gaussians = replace(gaussians, features=screen_features(gaussians, world_to_camera))
    means, quats, scales, opacities, features = gaussians
    out = render(means, quats, scales, opacities, features, world_to_camera, K, width, height, backend=backend)
    planes = out.image
    return Rendered(planes[..., RGB], out.alpha, planes[..., HAIR], out.depth, planes[..., ORIENTATION], planes[..., CHANNELS:])


def enlarged(picture: Rendered, network: SuperResolution, width: int, height: int) -> Rendered:
    """The picture ``FACTOR`` times as large, cut to ``width`` × ``height``: colours by the network, the rest interpolated."""
    others = torch.cat((picture.alpha[None], picture.hair[None], picture.depth[None], picture.orientation.permute(2, 0, 1)))
    larger = interpolate(others[None], scale_factor=FACTOR, mode="bilinear")[0, :, :height, :width]
    alpha, hair, depth = larger[:3]
    image = network(picture.planes())[:, :height, :width].permute(1, 2, 0)
    return Rendered(image, alpha, hair, depth, larger[3:].permute(1, 2, 0), image.new_zeros(height, width, 0))
