"""What the blending kernels for CPUs and for CUDA share: their arrays, and the sum of gradients over tile entries."""

# Kernels are written in warp's language, which only looks like Python: its literals need a type, its types no checker knows.
# mypy: ignore-errors
# ruff: noqa: UP018

from __future__ import annotations

from typing import Any

import warp as wp

LANES = 16  # the width and height of a tile (px)


@wp.struct
class Splats:
    """Gaussians on the screen: centre, inverse covariance, opacity and channels; or the gradients of these."""

    xy: wp.array(dtype=wp.vec2)
    conic: wp.array(dtype=wp.vec3)
    opacity: wp.array(dtype=float)
    color: wp.array2d(dtype=float)


@wp.struct
class Lists:
    """Per tile, the Gaussians from near to far, and the gradient slot of each entry."""

    offset: wp.array(dtype=int)
    ids: wp.array(dtype=int)
    slot: wp.array(dtype=int)


@wp.struct
class Pixels:
    """Pictures, tile by tile: channels, transmittance and the end of each pixel's list.

    When blending, the transmittance is negative once a pixel is finished. In the adjoint, ``color`` holds the channels' gradients,
    ``through`` is walked back from the final transmittance, and ``behind`` carries R, beginning with the transmittance's share.
    """

    color: wp.array(dtype=float)
    through: wp.array(dtype=float)
    behind: wp.array(dtype=float)
    last: wp.array(dtype=int)


@wp.kernel(enable_backward=False)
def gather(first: int, start: wp.array(dtype=int), channels: int, entries: Splats, out: Splats):
    """Sum the gradients of each Gaussian's tile entries in their fixed order."""
    g = first + wp.tid()
    xy = wp.vec2()
    conic = wp.vec3()
    opacity = float(0.0)
    for slot in range(start[g], start[g + 1]):
        xy += entries.xy[slot]
        conic += entries.conic[slot]
        opacity += entries.opacity[slot]
    for c in range(channels):
        color = float(0.0)
        for slot in range(start[g], start[g + 1]):
            color += entries.color[slot, c]
        out.color[g, c] = color
    out.xy[g] = xy
    out.conic[g] = conic
    out.opacity[g] = opacity


def fill(struct: Any, **arrays: Any) -> Any:
    """Set the members of a warp struct."""
    for name, value in arrays.items():
        setattr(struct, name, value)
    return struct
