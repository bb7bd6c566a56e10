"""A whole avatar: canonical head, Gaussian head, strand hair as a layer of its own, and what it takes to pose and film them.

``Avatar.render`` is the five-line interface; ``Avatar.animate`` films a track with hair dynamics. Training, evaluation and
re-enactment go through ``splat``, so that every picture comes from the same pass: colour, head and hair labels, hair orientation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from headcast.avatar.canonical import CanonicalHead
from headcast.avatar.gaussian_head import GaussianHead, HeadPose
from headcast.avatar.strands import StrandHair, screen_features, skull_to_world
from headcast.capture.camera import Camera
from headcast.errors import BadFile
from headcast.geometry.rotations import axis_angle_to_matrix
from headcast.rendering.splat import Gaussians, concatenate, render

CHANNELS = 7
RGB, HEAD, HAIR, ORIENTATION = slice(0, 3), 3, 4, slice(5, 7)
FRONTAL_DISTANCE = 1.0
FRONTAL_SIZE = 512
FRONTAL_FIELD = 0.42
"""The default camera shows a square of this width (m) about the skull, from this distance (m)."""

Expression = Float[Tensor, "E"] | Mapping[str, float] | Sequence[float] | None


@dataclass(frozen=True)
class Rendered:
    """One picture: ``image`` sRGB-encoded in [0, 1], coverage ``alpha``, visible ``hair``, ``depth`` (m), ``orientation`` (cos 2a, sin 2a)."""

    image: Float[Tensor, "H W 3"]
    alpha: Float[Tensor, "H W"]
    hair: Float[Tensor, "H W"]
    depth: Float[Tensor, "H W"]
    orientation: Float[Tensor, "H W 2"]


def splat(
    layers: Sequence[Gaussians],
    world_to_camera: Float[Tensor, "4 4"],
    K: Float[Tensor, "3 3"],
    width: int,
    height: int,
    background: float = 0.0,
    backend: str = "auto",
) -> Rendered:
    """Splat all layers in one pass, so that they occlude each other; the background (grey, sRGB-encoded) enters the colours only."""
    gaussians = concatenate(layers)
    gaussians = replace(gaussians, features=screen_features(gaussians, world_to_camera))
    behind = torch.tensor([background] * 3 + [0.0] * (CHANNELS - 3)).to(gaussians.features)
    out = render(*gaussians, world_to_camera, K, width, height, behind, backend)
    planes = out.image
    return Rendered(planes[..., RGB], out.alpha, planes[..., HAIR], out.depth, planes[..., ORIENTATION])
