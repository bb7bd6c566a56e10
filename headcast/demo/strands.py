"""The full head of hair: children interpolated between guides, clumped into locks, waved, frizzed, kept out of the skin.

`Recipe` holds everything random, once; `Recipe.build` makes the strands of a frame from that frame's guides with NumPy alone, so
the rendering machine can do it too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headcast.demo.curves import smooth_step, unit

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from headcast.demo.distance import DistanceGrid

STRANDS = 16_000
LOCKS, CLUMPS = 260, 1_900
ROOT_RADIUS, TIP_RADIUS = 8.5e-5, 3.0e-5
BROW_RADII, LASH_RADII = (5.0e-5, 2.0e-5), (4.5e-5, 1.5e-5)
SKIN_MARGIN = (0.0006, 0.003)
CLOTH_MARGIN = 0.0085
FRIZZ_KNOTS = 6


@dataclass(frozen=True)
class Recipe:
    """What distinguishes the strands: S strands, each from 3 guides.

    ``roots`` S 3 (m, rest), ``guide``/``weight`` S 3, ``lock``/``clump`` S (a leading strand), ``shorten`` S (length factor),
    ``phase``, ``wavelength`` (m), ``amplitude`` (m), ``stray`` S, ``frizz`` S 6 3, ``tone`` S, ``length`` S (m).
    """

    roots: Float[np.ndarray, "S 3"]
    guide: Int[np.ndarray, "S 3"]
    weight: Float[np.ndarray, "S 3"]
    lock: Int[np.ndarray, "S"]
    clump: Int[np.ndarray, "S"]
    shorten: Float[np.ndarray, "S"]
    phase: Float[np.ndarray, "S"]
    wavelength: Float[np.ndarray, "S"]
    amplitude: Float[np.ndarray, "S"]
    stray: Float[np.ndarray, "S"]
    frizz: Float[np.ndarray, "S 6 3"]
    tone: Float[np.ndarray, "S"]
    length: Float[np.ndarray, "S"]

    def build(
        self,
        guides: Float[np.ndarray, "G P 3"],
        rotation: Float[np.ndarray, "3 3"],
        pivot: Float[np.ndarray, "3"],
        skull: DistanceGrid,
        bust: DistanceGrid,
    ) -> Float[np.ndarray, "S P 3"]:
        """Strands of a frame (m, world) from its guides (world) and its head rotation about ``pivot``."""
        local = (guides - pivot) @ rotation + pivot
        points = self._shape(local)
        count, size, _ = points.shape
        margin = np.tile(np.linspace(*SKIN_MARGIN, size - 1), count)
        free = skull.push_out(points[:, 1:].reshape(-1, 3), margin, passes=2)
        free = bust.push_out((free - pivot) @ rotation.T + pivot, CLOTH_MARGIN)
        world = np.empty_like(points)
        world[:, 0] = (self.roots - pivot) @ rotation.T + pivot
        world[:, 1:] = free.reshape(count, size - 1, 3)
        return world.astype(np.float32)

    def _shape(self, guides: np.ndarray) -> np.ndarray:
        """Interpolate, clump and wave in the head's frame."""
        offsets = guides - guides[:, :1]
        points = np.einsum("skpd,sk->spd", offsets[self.guide], self.weight) * self.shorten[:, None, None]
        points += self.roots[:, None]
        t = np.linspace(0, 1, points.shape[1])
        for leader, strength, start in ((self.lock, 0.58, 0.2), (self.clump, 0.7, 0.08)):
            pull = (strength * smooth_step(start, 0.95, t))[None, :] / self.stray[:, None]
            points += pull[..., None] * (points[leader] - points)
        points += self._waves(points, t) + self._frizz_at(t)
        points[:, 0] = self.roots
        return points

    def _waves(self, points: np.ndarray, t: np.ndarray) -> np.ndarray:
        along = unit(np.gradient(points, axis=1))
        outwards = unit(points - np.array([0.0, 0.01, -0.012]))
        across = unit(outwards - (outwards * along).sum(axis=2, keepdims=True) * along)
        sideways = np.cross(along, across)
        angle = 2 * np.pi * t[None] * self.length[:, None] / self.wavelength[:, None] + self.phase[:, None]
        size = (self.amplitude[:, None] * smooth_step(0.15, 0.65, t)[None])[..., None]
        return size * (np.cos(angle)[..., None] * sideways + 0.5 * np.sin(angle)[..., None] * across)

    def _frizz_at(self, t: np.ndarray) -> np.ndarray:
        knot = t * (FRIZZ_KNOTS - 1)
        low = np.minimum(knot.astype(int), FRIZZ_KNOTS - 2)
        share = smooth_step(0, 1, knot - low)[None, :, None]
        bend = self.frizz[:, low] * (1 - share) + self.frizz[:, low + 1] * share
        return 0.0007 * self.stray[:, None, None] * smooth_step(0.05, 0.5, t)[None, :, None] * bend


def recipe(
    roots: Float[np.ndarray, "S 3"],
    guide_roots: Float[np.ndarray, "G 3"],
    guide_side: Float[np.ndarray, "G"],
    guide_length: Float[np.ndarray, "G"],
    seed: int = 2,
) -> Recipe:
    """Draw the random part of every strand; neighbours share locks (phase, wavelength, tone) and clumps."""
    from scipy.spatial import cKDTree

    from headcast.demo.scalp import neighbourhood, side_of_parting

    rng = np.random.default_rng(seed)
    count = len(roots)
    place = neighbourhood(roots, side_of_parting(roots))
    distance, guide = cKDTree(neighbourhood(guide_roots, guide_side)).query(place, k=3)
    weight = 1 / (distance + 2e-3) ** 2
    weight /= weight.sum(axis=1, keepdims=True)
    lock, clump = (_leaders(place, number, rng) for number in (LOCKS, CLUMPS))
    shorten = np.clip(1 + 0.05 * rng.normal(size=count), 0.8, 1.1)
    short = rng.random(count) < 0.05
    shorten[short] *= rng.uniform(0.5, 0.9, short.sum())
    shorten *= 1 + 0.05 * rng.normal(size=count)[lock]
    phase = rng.uniform(0, 2 * np.pi, count)[lock] + 0.35 * rng.normal(size=count)[clump] + 0.15 * rng.normal(size=count)
    wavelength = (0.075 * np.exp(0.15 * rng.normal(size=count)))[lock]
    amplitude = 0.0072 * np.exp(0.25 * rng.normal(size=count))[clump] * np.exp(0.15 * rng.normal(size=count))
    stray = np.where(rng.random(count) < 0.03, rng.uniform(1.6, 3.0, count), 1.0)
    tone = 0.55 * rng.normal(size=count) + 0.6 * rng.normal(size=count)[clump] + 0.5 * rng.normal(size=count)[lock]
    length = (weight * guide_length[guide]).sum(axis=1)
    frizz = rng.normal(size=(count, FRIZZ_KNOTS, 3))
    return Recipe(
        roots, guide, weight, lock, clump, shorten, phase, wavelength, amplitude, stray, frizz, np.clip(tone, -2, 2), length
    )


def _leaders(place: np.ndarray, number: int, rng: np.random.Generator) -> np.ndarray:
    from scipy.spatial import cKDTree

    chosen = rng.choice(len(place), number, replace=False)
    return np.asarray(chosen[cKDTree(place[chosen]).query(place)[1]])
