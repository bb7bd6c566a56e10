"""Polylines and smooth steps shared by the generator of hair and by its rasterizer. NumPy only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float

TINY = 1e-12


def unit(vectors: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
    """Vectors scaled to length one (zero stays zero)."""
    return vectors / (np.linalg.norm(vectors, axis=-1, keepdims=True) + TINY)


def smooth_step(low: float, high: float, x: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """Cubic step from 0 at ``low`` to 1 at ``high`` (falling when ``low`` > ``high``)."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def resample(points: Float[np.ndarray, "n 3"], count: int) -> tuple[Float[np.ndarray, "count 3"], float]:
    """``count`` points at equal arc length along a polyline, and its length (m)."""
    arc = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    at = np.linspace(0, arc[-1], count)
    return np.stack([np.interp(at, arc, points[:, k]) for k in range(3)], axis=1), float(arc[-1])


def smooth_along(strands: Float[np.ndarray, "S P 3"], passes: int) -> Float[np.ndarray, "S P 3"]:
    """Binomial smoothing of the inner points; both ends stay."""
    out = strands.copy()
    for _ in range(passes):
        out[:, 1:-1] = 0.25 * out[:, :-2] + 0.5 * out[:, 1:-1] + 0.25 * out[:, 2:]
    return out


def catmull_rom(strands: Float[np.ndarray, "S P 3"], subdivisions: int) -> Float[np.ndarray, "S Q 3"]:
    """Uniform Catmull–Rom with repeated ends, ``subdivisions`` segments for each of P − 1 (Catmull & Rom 1974)."""
    padded = np.concatenate([strands[:, :1], strands, strands[:, -1:]], axis=1).astype(np.float32)
    p0, p1, p2, p3 = padded[:, :-3], padded[:, 1:-2], padded[:, 2:-1], padded[:, 3:]
    count, points, _ = strands.shape
    out = np.empty((count, (points - 1) * subdivisions + 1, 3), np.float32)
    out[:, ::subdivisions] = strands
    for step in range(1, subdivisions):
        t = step / subdivisions
        cubic = 2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3
        out[:, step::subdivisions] = 0.5 * cubic
    return out
