"""Guide strands grown from the scalp: combed away from the parting over the skull, then falling by gravity past face and bust."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree

from headcast.demo.curves import resample, smooth_along, smooth_step, unit
from headcast.demo.scalp import neighbourhood, scalp_share, side_of_parting
from headcast.demo.surfaces import at_barycentric, sample

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from headcast.demo.distance import DistanceGrid

GUIDES = 900
POINTS = 32
STEP = 0.008
STEPS = 62
HEM = -0.132
BUST_MARGIN = 0.010
FACE_CENTRE, FACE_RADII = np.array([0.0, -0.01, 0.088]), np.array([0.064, 0.098, 0.062])


@dataclass(frozen=True)
class Guides:
    """``points`` S P 3 (m, rest), root first; ``side`` S of the parting; ``length`` S (m)."""

    points: Float[np.ndarray, "S P 3"]
    side: Float[np.ndarray, "S"]
    length: Float[np.ndarray, "S"]

    @property
    def roots(self) -> Float[np.ndarray, "S 3"]:
        """Where the guides leave the scalp."""
        return self.points[:, 0]


@dataclass
class _Growth:
    root: np.ndarray
    side: np.ndarray
    layer: np.ndarray
    hem: np.ndarray
    limit: np.ndarray
    point: np.ndarray
    direction: np.ndarray


def scalp_roots(
    rest: Float[np.ndarray, "V 3"], triangles: Int[np.ndarray, "T 3"], count: int, rng: np.random.Generator
) -> tuple[Int[np.ndarray, "n"], Float[np.ndarray, "n 3"]]:
    """Triangles and barycentric weights of roots spread over the scalp."""
    share = scalp_share(rest[triangles].mean(axis=1))
    return sample(rest, triangles, share, count, rng)


def grow(
    rest: Float[np.ndarray, "V 3"],
    normals: Float[np.ndarray, "V 3"],
    triangles: Int[np.ndarray, "T 3"],
    skull: DistanceGrid,
    bust: DistanceGrid,
    seed: int = 1,
) -> Guides:
    """Grow the guides (``skull`` and ``bust``: signed distances at rest)."""
    rng = np.random.default_rng(seed)
    rows, weights = scalp_roots(rest, triangles, GUIDES, rng)
    roots = at_barycentric(rest, triangles[rows], weights)
    state = _start(roots, unit(at_barycentric(normals, triangles[rows], weights)), rng)
    path, alive, length = [roots.copy()], np.ones(len(roots), bool), np.zeros(len(roots))
    for step in range(STEPS):
        target = _advance(state, step * STEP, skull, bust)
        state.direction = np.where(alive[:, None], unit(target - state.point), state.direction)
        state.point = np.where(alive[:, None], target, state.point)
        path.append(state.point.copy())
        length += alive * STEP
        alive &= (state.point[:, 1] > state.hem) & (length < state.limit)
    return _settle(np.stack(path, axis=1), length, state)


def _start(roots: np.ndarray, normals: np.ndarray, rng: np.random.Generator) -> _Growth:
    count = len(roots)
    side = side_of_parting(roots)
    top = smooth_step(0.02, 0.12, roots[:, 1])
    back = smooth_step(0.02, -0.06, roots[:, 2])
    layer = 0.003 + 0.008 * top * (0.5 + 0.5 * rng.random(count)) + 0.005 * rng.random(count)
    hem = HEM + 0.010 * rng.normal(size=count) + 0.03 * smooth_step(0.05, 0.09, roots[:, 2]) - 0.012 * back
    limit = 0.35 + 0.02 * rng.normal(size=count)
    lift = np.stack([0.5 * side * top, 0.35 * top, -0.5 * np.ones(count)], axis=1)
    return _Growth(roots, side, layer, hem, limit, roots.copy(), unit(normals + lift))


def _advance(state: _Growth, grown: float, skull: DistanceGrid, bust: DistanceGrid) -> np.ndarray:
    distance, outwards = skull(state.point)
    near = smooth_step(0.045, 0.018, distance)[:, None]
    flat = smooth_step(0.45, 0.92, outwards[:, 1])[:, None] * near
    zero = np.zeros_like(state.side)
    backwards = np.where(state.root[:, 2] > 0.03, -0.75, -0.2)
    comb = np.stack([state.side * smooth_step(-0.09, 0.0, state.root[:, 2]), zero, backwards], axis=1)
    wanted = flat * comb + (1 - 0.8 * flat) * np.array([0.0, -1.0, 0.0])
    wanted = wanted + _beside_face(state.point, state.side)
    along = wanted - (wanted * outwards).sum(axis=1, keepdims=True) * outwards
    height = np.minimum(state.layer, 0.0015 + 0.35 * (grown + STEP))
    drawn = np.clip((distance - height) / 0.01, 0, 1)[:, None]
    wanted = near * unit(along) + (1 - near) * wanted - 0.55 * near * outwards * drawn
    inwards = smooth_step(HEM + 0.06, HEM, state.point[:, 1])[:, None]
    wanted = wanted + 0.22 * inwards * np.stack([-state.point[:, 0] / 0.08, zero, -(state.point[:, 2] + 0.01) / 0.1], axis=1)
    target = state.point + unit(state.direction + 0.85 * unit(wanted)) * STEP
    target = bust.push_out(skull.push_out(target, height, passes=2), BUST_MARGIN)
    target = _clear_face(target, state)
    return state.point + unit(target - state.point) * STEP


def _beside_face(points: np.ndarray, side: np.ndarray) -> np.ndarray:
    front = smooth_step(0.035, 0.065, points[:, 2]) * smooth_step(0.085, 0.06, np.abs(points[:, 0]))
    strength = front * smooth_step(0.12, 0.07, points[:, 1])
    return strength[:, None] * np.stack([side, np.zeros_like(side), np.full_like(side, -0.9)], axis=1)


def _clear_face(points: np.ndarray, state: _Growth) -> np.ndarray:
    inside = np.linalg.norm((points - FACE_CENTRE) / FACE_RADII, axis=1)
    push = np.where((inside < 1) & (state.root[:, 1] > 0), (1 - inside) * 0.03, 0.0)
    return points + push[:, None] * np.stack([state.side, np.zeros_like(push), np.full_like(push, -0.6)], axis=1)


def _settle(paths: np.ndarray, length: np.ndarray, state: _Growth) -> Guides:
    """Smooth, resample, and bring guides that left their neighbours back to them."""
    count = len(paths)
    points, final = np.zeros((count, POINTS, 3)), np.zeros(count)
    for i in range(count):
        grown = paths[i : i + 1, : max(round(length[i] / STEP), 4) + 1]
        points[i], final[i] = resample(smooth_along(grown, 4)[0], POINTS)
    place = neighbourhood(state.root, state.side)
    around = cKDTree(place).query(place, k=9)[1][:, 1:]
    for low, high in ((0.03, 0.06), (0.02, 0.045), (0.015, 0.03)):
        offsets = follow_neighbours(points - points[:, :1], around, low, high)
        for i in range(count):
            offsets[i], final[i] = resample(offsets[i], POINTS)
        points = state.root[:, None] + offsets
    return Guides(points, state.side, final)


def follow_neighbours(offsets: np.ndarray, around: np.ndarray, low: float, high: float) -> np.ndarray:
    """Blend strands (relative to their roots) towards their neighbours' median where they deviate by ``low`` to ``high`` (m)."""
    median = np.median(offsets[around], axis=1)
    deviation = np.linalg.norm(offsets - median, axis=2).max(axis=1)
    share = smooth_step(low, high, deviation)[:, None, None]
    return offsets * (1 - share) + median * share
