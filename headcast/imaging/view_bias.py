"""What a detector gets wrong by the side that it sees a face from: learned from many views of one head, to be taken out.

FaceMesh's points slide over the skin with the viewing direction. All views of a frame together then shift the triangulated face a
little, by an amount that follows the head's turning: it looks like motion. The slide is a smooth function of the direction in the
head's own frame, the same in all frames, so it shows in what is left after triangulation, and is found there by regression.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from headcast.geometry.alignment import similarity

ROUNDS = 2
MIN_CAMERAS, MIN_SAMPLES = 4, 48
KERNEL = 0.004  # m, of the robust weights
LARGEST = 0.012  # m: what misses by more is an outlier, not a slide
RIDGE = 0.1
MIN_POINTS = 20

Triangulate = Callable[[Float[np.ndarray, "C N 2"], float], Float[np.ndarray, "N 3"]]


def view_bias(
    pixels: Float[np.ndarray, "F C N 2"],
    matrices: Float[np.ndarray, "C 3 4"],
    eye_distance_px: Float[np.ndarray, "F"],
    triangulate: Triangulate,
) -> Float[np.ndarray, "F C N 2"]:
    """By how many pixels each point has slid in each view; zero where that is unknown or there are too few views to tell.

    ``matrices`` are world → pixel; frames without a face have a NaN eye distance.
    """
    bias = np.zeros(pixels.shape)
    frames = np.flatnonzero(np.isfinite(eye_distance_px))
    if len(matrices) < MIN_CAMERAS or len(frames) * len(matrices) < MIN_SAMPLES:
        return bias
    for _ in range(ROUNDS):
        world = np.stack([triangulate(pixels[f] - bias[f], float(eye_distance_px[f])) for f in frames])
        homogeneous = np.einsum("cij,fnj->fcni", matrices[:, :, :3], world) + matrices[:, None, :, 3]
        px_per_metre = _focal(matrices)[:, None] / homogeneous[..., 2]
        missed = (pixels[frames] - homogeneous[..., :2] / homogeneous[..., 2:]) / px_per_metre[..., None]
        slide = regress(direction_terms(world, matrices), missed) * px_per_metre[..., None]
        bias[frames] = np.nan_to_num(slide)
    return bias


def _focal(matrices: Float[np.ndarray, "C 3 4"]) -> Float[np.ndarray, "C"]:
    """Focal lengths (px) of matrices ``K [R t]``."""
    return np.linalg.norm(np.cross(matrices[:, 0, :3], matrices[:, 2, :3]), axis=1)


def direction_terms(world: Float[np.ndarray, "F N 3"], matrices: Float[np.ndarray, "C 3 4"]) -> Float[np.ndarray, "F C 7"]:
    """Polynomials of the azimuth and elevation (rad) at which a head frame sees each camera; NaN for a frame of too few points.

    The head frame is that of the frame with most points, turned so that its views are about the z axis.
    """
    centres = -np.linalg.solve(matrices[:, :, :3], matrices[:, :, 3:])[..., 0]
    known = np.isfinite(world).all(axis=-1)
    first = int(known.sum(axis=1).argmax())
    local = np.full((len(world), len(matrices), 3), np.nan)
    for f, points in enumerate(world):
        shared = known[f] & known[first]
        if shared.sum() >= MIN_POINTS:
            _, turn, _ = similarity(world[first, shared], points[shared])
            local[f] = (centres - points[shared].mean(axis=0)) @ turn
    local /= np.linalg.norm(local, axis=-1, keepdims=True)
    x, y, z = np.moveaxis(local @ _upright(np.nanmean(local, axis=(0, 1)), matrices), -1, 0)
    azimuth, elevation = np.arctan2(x, z), np.arcsin(np.clip(y, -1.0, 1.0))
    terms = (np.ones_like(x), azimuth, elevation, azimuth**2, azimuth * elevation, elevation**2, azimuth**3)
    return np.stack(terms, axis=-1)


def _upright(middle: Float[np.ndarray, "3"], matrices: Float[np.ndarray, "C 3 4"]) -> Float[np.ndarray, "3 3"]:
    """Columns x, y, z of a frame whose z is the mean viewing direction and whose x runs with the pictures' rows."""
    z = middle / np.linalg.norm(middle)
    right = (matrices[:, 0, :3] - (matrices[:, 0, :3] * matrices[:, 2, :3]).sum(axis=1)[:, None] * matrices[:, 2, :3]).mean(axis=0)
    y = np.cross(z, right)
    y /= np.linalg.norm(y)
    return np.stack([np.cross(y, z), y, z], axis=1)


def regress(terms: Float[np.ndarray, "F C k"], missed: Float[np.ndarray, "F C N 2"]) -> Float[np.ndarray, "F C N 2"]:
    """The part of ``missed`` (m) that the terms explain, each point by itself, robustly (Geman & McClure 1987)."""
    rows = np.nan_to_num(terms).reshape(-1, terms.shape[-1])
    values = missed.reshape(len(rows), -1, 2)
    size = np.linalg.norm(values, axis=-1)
    usable = (size < LARGEST) & np.isfinite(terms).reshape(rows.shape).all(axis=1)[:, None]
    weight = np.where(usable, 1.0 / (1.0 + (np.nan_to_num(size) / KERNEL) ** 2), 0.0)
    squares = (rows[:, :, None] * rows[:, None]).reshape(len(rows), -1)
    normal = (weight.T @ squares).reshape(-1, rows.shape[1], rows.shape[1]) + RIDGE * np.eye(rows.shape[1])
    right = np.einsum("sn,sk,snd->nkd", weight, rows, np.nan_to_num(values), optimize=True)
    explained = np.einsum("sk,nkd->snd", rows, np.linalg.solve(normal, right), optimize=True)
    return np.where(np.isfinite(terms).all(axis=-1)[..., None, None], explained.reshape(missed.shape), 0.0)
