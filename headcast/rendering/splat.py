"""Splatting of 3-D Gaussians (Kerbl et al., SIGGRAPH 2023; EWA, Zwicker et al., VIS 2001): one call, several rasterizers.

Semantics, the same in every backend: pixel centres at +0.5, a dilation of 0.3 px² on the screen covariance, Gaussians nearer than
0.01 m culled, opacities below 1/255 dropped and capped at 0.99, a pixel finished before its transmittance would fall below 1e-4.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from importlib import import_module
from importlib.util import find_spec

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from headcast.errors import ConfigError, HeadcastError

BACKENDS = {
    "warp": "headcast.rendering.splat_warp",
    "gsplat": "headcast.rendering.splat_gsplat",
    "inria": "headcast.rendering.splat_inria",
    "reference": "headcast.rendering.splat_reference",
}


@dataclass(frozen=True)
class Gaussians:
    """What is splatted: world positions (m), rotations (w first, normalised on use), scales (m), opacities in [0, 1], features."""

    means: Float[Tensor, "N 3"]
    quats: Float[Tensor, "N 4"]
    scales: Float[Tensor, "N 3"]
    opacities: Float[Tensor, "N"]
    features: Float[Tensor, "N D"]

    def __len__(self) -> int:
        return len(self.means)

    def __iter__(self) -> Iterator[Tensor]:
        """The five tensors in the order that ``render`` takes them."""
        return (getattr(self, field.name) for field in fields(self))

    def select(self, which: Tensor | slice) -> Gaussians:
        """The Gaussians of a boolean mask, an index tensor or a slice."""
        return Gaussians(*(tensor[which] for tensor in self))


def concatenate(parts: Sequence[Gaussians]) -> Gaussians:
    """All Gaussians of several sets, in order; their feature counts must agree."""
    widths = {part.features.shape[1] for part in parts}
    if len(widths) != 1:
        raise HeadcastError("gaussians", f"sets with {sorted(widths)} features cannot be joined")
    return Gaussians(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))


@dataclass(frozen=True)
class Info:
    """How the Gaussians met the screen; call ``xy.retain_grad()`` before ``backward`` to learn their screen-space gradients."""

    xy: Float[Tensor, "N 2"]
    radius: Float[Tensor, "N"]
    visible: Bool[Tensor, "N"]


@dataclass(frozen=True)
class Splatted:
    """A rendered view: features over the background, coverage, expected depth (m; 0 where alpha is 0: mask with alpha)."""

    image: Float[Tensor, "H W D"]
    alpha: Float[Tensor, "H W"]
    depth: Float[Tensor, "H W"]
    info: Info


def render(
    means: Float[Tensor, "N 3"],
    quats: Float[Tensor, "N 4"],
    scales: Float[Tensor, "N 3"],
    opacities: Float[Tensor, "N"],
    features: Float[Tensor, "N D"],
    world_to_camera: Float[Tensor, "4 4"],
    K: Float[Tensor, "3 3"],
    width: int,
    height: int,
    background: Float[Tensor, "D"] | None = None,
    backend: str = "auto",
) -> Splatted:
    """Splat Gaussians into one view; differentiable in the five tensors, the background and (``warp``, ``reference``) pose and K.

    ``background`` is a colour "D" or a picture "H W D", by default zero. Raises ``ConfigError`` for an unknown backend,
    ``AssetMissing`` for one that is not installed, and ``HeadcastError`` for shapes that disagree or values that are not finite.
    """
    camera = world_to_camera.to(means), K.to(means)
    check(means, quats, scales, opacities, features, *camera)
    module = import_module(BACKENDS[choose(backend, means.device)])
    total, alpha, depth, info = module.splat(means, quats, scales, opacities, features, *camera, width, height)
    expected = depth / alpha.clamp_min(1e-8)
    if background is None:
        return Splatted(total, alpha, expected, info)
    return Splatted(torch.addcmul(total, (1 - alpha)[..., None], background.to(total)), alpha, expected, info)


def choose(backend: str, device: torch.device) -> str:
    """Resolve ``auto``: gsplat for CUDA tensors where it is installed, else warp."""
    if backend == "auto":
        return "gsplat" if device.type == "cuda" and find_spec("gsplat") is not None else "warp"
    if backend not in BACKENDS:
        raise ConfigError("rendering backend", f"{backend!r} is unknown", f"choose auto or one of {', '.join(BACKENDS)}")
    return backend


SHAPES = {
    "means": "N 3",
    "quats": "N 4",
    "scales": "N 3",
    "opacities": "N",
    "features": "N D",
    "world_to_camera": "4 4",
    "K": "3 3",
}


def check(*tensors: Tensor) -> None:
    """Raise ``HeadcastError`` naming the first tensor (in the order of ``SHAPES``) whose shape or values cannot be rendered."""
    sizes: dict[str, int] = {}
    for (name, shape), tensor in zip(SHAPES.items(), tensors, strict=True):
        wanted = shape.split()
        agree = tensor.ndim == len(wanted) and all(
            size == (int(axis) if axis.isdigit() else sizes.setdefault(axis, size))
            for axis, size in zip(wanted, tensor.shape, strict=True)
        )
        if not agree:
            raise HeadcastError(name, f"has shape {tuple(tensor.shape)}, expected ({shape})")
    if tensors[0].is_cuda and torch.cuda.is_current_stream_capturing():
        return  # whoever records a graph looks at what comes out of it
    with torch.no_grad():
        sums = torch.stack([tensor.sum() for tensor in tensors])
        if torch.isfinite(sums).all():
            return
        for name, tensor in zip(SHAPES, tensors, strict=True):
            if not torch.isfinite(tensor).all():
                raise HeadcastError(name, f"{int((~torch.isfinite(tensor)).sum())} values are not finite")
