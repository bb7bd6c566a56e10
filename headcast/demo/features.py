"""Brows, lashes and eyeballs of the demo subject, bound to its skin so that they follow every expression."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree

from headcast.demo.curves import unit
from headcast.demo.landmarks import LOWER_LID, UPPER_LID
from headcast.demo.surfaces import at_barycentric

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from headcast.demo.head import Subject

BROW_HAIRS, BROW_LENGTH = 430, 0.0062
LASHES = {"upper": (80, 0.0066), "lower": (36, 0.0030)}
RINGS, SPOKES = 40, 56


@dataclass(frozen=True)
class Brows:
    """Roots on skin triangles and the hairs' points relative to the root (m, rest)."""

    triangles: Int[np.ndarray, "S 3"]
    weights: Float[np.ndarray, "S 3"]
    offsets: Float[np.ndarray, "S 5 3"]

    def points(self, surface: Float[np.ndarray, "V 3"], rotation: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "S 5 3"]:
        """The hairs on a posed skin."""
        return at_barycentric(surface, self.triangles, self.weights)[:, None] + self.offsets @ rotation.T


def brows(subject: Subject, seed: int = 5) -> Brows:
    """Short hairs along landmarks 17–26: upright at the inner end, swept outwards along the arch."""
    rng = np.random.default_rng(seed)
    marks = subject.landmark_points(subject.rest)
    sides = [_brow(subject, marks[list(numbers)], rng) for numbers in (range(21, 16, -1), range(22, 27))]
    return Brows(*(np.concatenate(parts) for parts in zip(*sides, strict=True)))


def _brow(subject: Subject, line: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    t = 0.97 * rng.random(BROW_HAIRS) ** 0.95
    place = np.stack([np.interp(t * 4, range(5), line[:, k]) for k in range(3)], axis=1)
    thickness = 0.0036 * (1 - 0.6 * t**1.5) * np.clip(0.5 + 3 * t, 0, 1)
    across = np.clip(rng.normal(size=BROW_HAIRS), -1.6, 1.6) * 0.6
    place[:, 1] += across * thickness - 0.0012 * (1 - t)
    centres = subject.rest[subject.triangles].mean(axis=1)
    triangles = subject.triangles[cKDTree(centres).query(place)[1]]
    corners = subject.rest[triangles]
    normal = unit(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]))
    place = place - ((place - corners[:, 0]) * normal).sum(axis=1, keepdims=True) * normal
    weights = np.einsum("nij,nj->ni", np.linalg.pinv(np.transpose(corners, (0, 2, 1))), place)
    slope = np.gradient(line, axis=0)
    along = unit(np.stack([np.interp(t * 4, range(5), slope[:, k]) for k in range(3)], axis=1))
    upright = (0.6 * (1 - t) ** 1.6 - 0.35 * across)[:, None]
    direction = unit(along + upright * [0, 1.0, 0] + 0.14 * normal + 0.12 * rng.normal(size=(BROW_HAIRS, 3)))
    length = (BROW_LENGTH * (1 - 0.4 * t) * np.exp(0.2 * rng.normal(size=BROW_HAIRS)))[:, None, None]
    s = np.linspace(0, 1, 5)[None, :, None]
    offsets = length * (s * direction[:, None] + s**2 * (0.25 * along - 0.10 * normal)[:, None])
    return triangles, weights, offsets


class Lashes:
    """Curved hairs on the lid margins; they point away from the eyeball's centre, so they follow a blink."""

    def __init__(self, subject: Subject, seed: int = 6) -> None:
        rng = np.random.default_rng(seed)
        row_of = {int(vertex): row for row, vertex in enumerate(subject.skin.control)}
        self.sets = []
        for side in "lr":
            for name, ring in (("upper", UPPER_LID), ("lower", LOWER_LID)):
                count, length = LASHES[name]
                rows = [row_of[v if side == "l" else int(subject.mirror[v])] for v in ring]
                at = np.sort(rng.uniform(0.06, 0.98, count))
                size = length * np.exp(0.12 * rng.normal(size=count)) * (0.55 + 0.45 * np.sin(np.pi * at**0.8))
                self.sets.append((side, name, np.array(rows), at, size, rng.normal(size=(count, 3))))

    def points(
        self, surface: Float[np.ndarray, "V 3"], centres: dict[str, Float[np.ndarray, "3"]], rotation: Float[np.ndarray, "3 3"]
    ) -> Float[np.ndarray, "S 5 3"]:
        """The hairs on a posed skin, for eyeball ``centres`` by side."""
        hairs = []
        for side, name, rows, at, size, jitter in self.sets:
            ring = surface[rows]
            root = np.stack([np.interp(at * (len(ring) - 1), range(len(ring)), ring[:, k]) for k in range(3)], axis=1)
            sideways = rotation @ [1.0 if side == "l" else -1.0, 0, 0]
            fan = (at[:, None] - 0.42) * 0.9 * sideways
            up = rotation @ [0, 1.0 if name == "upper" else -1.0, 0]
            start = unit(unit(root - centres[side]) + fan + 0.06 * jitter)
            s = np.linspace(0, 1, 5)[None, :, None]
            curl = 0.75 if name == "upper" else 0.5
            hairs.append(root[:, None] + size[:, None, None] * (s * start[:, None] + curl * s**2 * up))
        return np.concatenate(hairs)


class Eyes:
    """Eyeballs as spheres with a painted iris; they turn as the wheel's own eye vertices do under the gaze units."""

    def __init__(self, subject: Subject) -> None:
        self.groups = {side: subject.base.vertices_of(f"helper-{side}-eye") for side in "lr"}
        self.rest = {side: subject.neutral[rows] for side, rows in self.groups.items()}
        self.radius = {side: float(np.median(np.linalg.norm(self._centred(side), axis=1))) for side in self.rest}

    def _centred(self, side: str) -> np.ndarray:
        points = self.rest[side]
        return points - (points.min(axis=0) + points.max(axis=0)) / 2

    @cached_property
    def sphere(self) -> tuple[Float[np.ndarray, "n 3"], Int[np.ndarray, "Q 4"], Float[np.ndarray, "n"]]:
        """Unit sphere about its +z pole: points, quads, polar angle (rad)."""
        polar = np.concatenate([[1e-3], np.linspace(0.02, np.pi - 1e-3, RINGS - 1)])
        turn = np.arange(SPOKES) * 2 * np.pi / SPOKES
        theta, phi = (grid.ravel() for grid in np.meshgrid(polar, turn, indexing="ij"))
        points = np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], axis=1)
        corner = np.arange((RINGS - 1) * SPOKES).reshape(RINGS - 1, SPOKES)
        following = np.roll(corner, -1, axis=1)
        quads = np.stack([corner, corner + SPOKES, following + SPOKES, following], axis=-1).reshape(-1, 4)
        return points, quads, theta

    def placed(self, side: str, base: Float[np.ndarray, "B 3"]) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "3"]]:
        """Points of an eyeball and its centre, from the posed base-mesh vertices (rigid fit, Kabsch 1976)."""
        moved, local = base[self.groups[side]], self._centred(side)
        offset = local.mean(axis=0)
        u, _, vt = np.linalg.svd((local - offset).T @ (moved - moved.mean(axis=0)))
        flip = np.diag([1, 1, np.sign(np.linalg.det(u @ vt))])
        rotation = (u @ flip @ vt).T
        centre = moved.mean(axis=0) - rotation @ offset
        return centre + self.radius[side] * self.sphere[0] @ rotation.T, centre
