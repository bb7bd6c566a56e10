"""The empty studio behind the subject, as triangles: the panelled wall, posts, rig boxes and soft boxes of the Blender scene."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headcast.demo.shading_kernels import AMBIENT, COLOUR, COLUMNS, LAMP, NORMAL, PLACE, WALL

if TYPE_CHECKING:
    from jaxtyping import Float, Int

PANEL = 0.4  # m
WALL_COLOUR = (0.40, 0.41, 0.435)
SIDES = (
    ((0, 1, 3, 2), -1, 0),
    ((4, 6, 7, 5), 1, 0),
    ((0, 4, 5, 1), -1, 1),
    ((2, 3, 7, 6), 1, 1),
    ((0, 2, 6, 4), -1, 2),
    ((1, 5, 7, 3), 1, 2),
)


@dataclass(frozen=True)
class Backdrop:
    """``vertices`` V 3 (m), ``triangles`` T 3, ``values`` V 19 (columns of `shading_kernels`), ``material`` T."""

    vertices: Float[np.ndarray, "V 3"]
    triangles: Int[np.ndarray, "T 3"]
    values: Float[np.ndarray, "V 19"]
    material: Int[np.ndarray, "T"]


def boxes() -> list[tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...], float]]:
    """(centre, size, colour, glow) of every box, metres; drawn with the Blender scene's random numbers."""
    rng = np.random.default_rng(3)
    found: list[tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...], float]] = []
    shades = np.random.default_rng(4)
    for column in range(-12, 12):
        for row in range(-8, 8):
            centre = ((column + 0.5) * PANEL, (row + 0.5) * PANEL, -1.9)
            shade = 1 + 0.05 * float(shades.normal())
            found.append((centre, (PANEL, PANEL, 0.02), tuple(shade * c for c in WALL_COLOUR), 0.0))
    for i in range(13):
        found += [((-2.4 + PANEL * i, y, -1.88), (0.02, 1.0, 0.02), (0.2, 0.2, 0.21), 0.0) for y in np.arange(-2.5, 3.0)]
    for _ in range(9):
        x = float(rng.uniform(-2.2, 2.2))
        z = -1.5 - 0.2 * float(rng.random())
        found += [((x, -1.2 + 0.5 * k, z), (0.03, 0.5, 0.03), (0.03, 0.03, 0.03), 0.0) for k in range(5)]
        tint = tuple(float(c) for c in rng.uniform(0.02, 0.35, 3))
        found.append(((x, float(rng.uniform(-0.5, 0.6)), -1.5), (0.16, 0.11, 0.10), tint, 0.0))
    found += [((x, 0.75, -1.6), (0.5, 0.28, 0.05), (1.0, 1.0, 1.0), 0.9) for x in (-1.5, 0.2, 1.7)]
    return found


def backdrop() -> Backdrop:
    """All boxes with flat normals, lit by the lamps with a soft fall-off towards the wall's edges."""
    vertices: list[np.ndarray] = []
    triangles: list[np.ndarray] = []
    values: list[np.ndarray] = []
    signs = np.array([(i, j, k) for i in (-1, 1) for j in (-1, 1) for k in (-1, 1)])
    for centre, size, colour, glow in boxes():
        corners = np.array(centre) + signs * np.array(size) / 2
        for side, sign, axis in SIDES:
            first = 4 * len(vertices)
            normal = np.zeros(3)
            normal[axis] = sign
            vertices.append(corners[list(side)])
            triangles.append(first + np.array([(0, 1, 2), (0, 2, 3)]))
            values.append(_attributes(corners[list(side)], normal, colour, glow))
    faces = np.concatenate(triangles)
    return Backdrop(np.concatenate(vertices), faces, np.concatenate(values), np.full(len(faces), WALL, np.int32))


def _attributes(points: np.ndarray, normal: np.ndarray, colour: tuple[float, ...], glow: float) -> np.ndarray:
    out = np.zeros((4, COLUMNS), np.float32)
    out[:, NORMAL : NORMAL + 3], out[:, PLACE : PLACE + 3], out[:, COLOUR : COLOUR + 3] = normal, points, colour
    distance = np.hypot(points[:, 0], points[:, 1] - 0.1)
    fading = np.exp(-((distance / 2.2) ** 2))
    out[:, LAMP : LAMP + 3] = (0.50 * fading)[:, None]
    out[:, AMBIENT : AMBIENT + 3] = (0.55 + 0.35 * fading + 3.0 * glow)[:, None]
    return out
