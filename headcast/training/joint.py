"""The objective of the joint training of head and hair: what a picture has to match, and what keeps both layers plausible."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from headcast.avatar.distance_grid import SignedDistanceGrid
from headcast.avatar.gaussian_head import GaussianHead
from headcast.avatar.picture import Rendered
from headcast.avatar.strand_losses import anchoring, inside_head, length_preservation, smoothness
from headcast.avatar.strands import StrandHair
from headcast.training.losses import dssim, l1, masked_mean, matte_loss, orientation_loss
from headcast.training.samples import View

MILLIMETRE = 1e-3


@dataclass(frozen=True)
class Weights:
    """What each term counts; every term is a mean over pixels or over points, so weights do not depend on sizes or counts.

    Terms and their units are listed in ``docs/hair.md``; a term whose unit is squared is squared itself.
    """

    l1: float = 0.8
    dssim: float = 0.4
    matte: float = 0.3
    hair_missing: float = 0.2
    hair_excess: float = 0.08
    orientation: float = 0.05
    offset: float = 2e-4
    scale: float = 2e-3
    view: float = 0.03
    residual: float = 0.1
    smooth: float = 2e-2
    length: float = 0.2
    anchor: float = 2e-3
    inside: float = 1.0
    lean: float = 3e-4
    twist: float = 10.0


def image_terms(picture: Rendered, view: View, weights: Weights) -> dict[str, Float[Tensor, ""]]:
    """Weighted terms against one view whose image is already composited on black; invisible (padded) pixels do not count."""
    hair = view.hair
    missing, excess = torch.relu(hair - picture.hair), torch.relu(picture.hair - hair)
    return {
        "l1": weights.l1 * l1(picture.image, view.image, view.visible),
        "dssim": weights.dssim * dssim(picture.image, view.image, view.visible),
        "matte": weights.matte * matte_loss(picture.alpha, view.matte, view.visible),
        "hair": masked_mean(weights.hair_missing * missing + weights.hair_excess * excess, view.visible),
        "orientation": weights.orientation
        * orientation_loss(picture.orientation, view.angle, view.confidence * hair, view.visible),
    }


def head_terms(head: GaussianHead, residuals: Float[Tensor, "N 6"], weights: Weights) -> dict[str, Float[Tensor, ""]]:
    """Gaussians stay near their seeds, no larger and no more view dependent than the pictures ask for, and on the fitted surface.

    Without the last, ``residuals`` (`GaussianHead.residuals`) learn the few expressions of a sequence by heart and fail at others.
    A bust has no expression: it may move as it does.
    """
    return {
        "offset": weights.offset * (head.offset / MILLIMETRE).square().sum(-1).mean(),
        "scale": weights.scale * torch.relu(head.log_scales.exp().amax(-1) / MILLIMETRE - 6.0).mean(),
        "view": weights.view * head.color_sh.square().mean(),
        "residual": weights.residual * (head.weight[:, None] * residuals.square()).mean(),
    }


def hair_terms(hair: StrandHair, inside: SignedDistanceGrid, weights: Weights) -> dict[str, Float[Tensor, ""]]:
    """Strands stay smooth, of their length, near where they grew and outside the head."""
    points = hair.points
    return {
        "smooth": weights.smooth * smoothness(points, hair.rest_lengths),
        "length": weights.length * length_preservation(points, hair.rest_lengths),
        "anchor": weights.anchor * anchoring(points, hair.anchors),
        "inside": weights.inside * inside_head(points, inside),
        "hair_view": weights.view * hair.color_sh.square().mean(),
    }
