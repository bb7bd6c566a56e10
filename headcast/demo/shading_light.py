"""Light that reaches the demo subject, for every vertex and strand point of a frame; the same for all cameras.

Area lamps are sampled at several points each, the surroundings in evenly spread directions. A direction counts as open where no
triangle is in the way (ray casts) and as far as the hair in between lets light through: the strands' cross sections are gathered in
a grid, and Beer's law is followed along the ray. Hair then darkens with its depth, and shadows are soft and free of noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import warp as wp
from scipy.ndimage import gaussian_filter

from headcast.demo.curves import unit
from headcast.demo.shading_light_kernels import LAMP_SAMPLES, VOXEL, gather

if TYPE_CHECKING:
    from jaxtyping import Float

    from headcast.demo.raster import Ribbons, Surface

AMBIENT_DIRECTIONS = 24
LEVELS = 8  # five lamps, then ambient red, green, blue
LAMPS = 5
# position (m), edge (m), irradiance at the head (W/m²), colour: key, fill, top, two rims
LIGHTS = (
    ((0.9, 0.75, 1.5), 0.7, 3.1, (1.0, 0.95, 0.88)),
    ((-1.3, 0.35, 1.2), 0.9, 0.65, (0.88, 0.94, 1.0)),
    ((0.0, 1.6, 0.3), 0.8, 1.25, (1.0, 1.0, 1.0)),
    ((0.5, 0.8, -1.2), 0.5, 2.2, (1.0, 0.97, 0.92)),
    ((-0.7, 0.6, -1.1), 0.5, 2.0, (0.93, 0.96, 1.0)),
)
SKY, GROUND = np.array([0.25, 0.275, 0.31]), np.array([0.11, 0.10, 0.095])


@dataclass(frozen=True)
class Directions:
    """K directions: unit ``towards`` K 3, ``lamp`` K (index; -1 the surroundings), ``radiance`` K 3 (surroundings only)."""

    towards: Float[np.ndarray, "K 3"]
    lamp: np.ndarray
    radiance: Float[np.ndarray, "K 3"]


def directions() -> Directions:
    """All directions that are tested: stratified points of every lamp, then a Fibonacci sphere of sky and floor."""
    rng = np.random.default_rng(7)
    towards, lamp = [], []
    for index, (position, size, _, _) in enumerate(LIGHTS):
        z = unit(np.array(position)[None])[0]
        x = unit(np.cross([0.0, 1.0, 0.001], z)[None])[0]
        corners = np.array([(0, 0), (1, 0.4), (-0.4, 1), (-1, -0.4), (0.4, -1)]) * 0.38 + 0.03 * rng.normal(size=(LAMP_SAMPLES, 2))
        points = np.array(position) + size * (corners[:, :1] * x + corners[:, 1:] * np.cross(z, x))
        towards.append(unit(points))
        lamp.append(np.full(LAMP_SAMPLES, index))
    k = np.arange(AMBIENT_DIRECTIONS) + 0.5
    height = 1 - 2 * k / AMBIENT_DIRECTIONS
    angle = np.pi * (1 + np.sqrt(5)) * k
    ring = np.sqrt(1 - height**2)
    sphere = np.stack([ring * np.cos(angle), height, ring * np.sin(angle)], axis=1)
    radiance = GROUND + (SKY - GROUND) * np.clip(0.5 + 0.8 * height, 0, 1)[:, None]
    zero = np.zeros((LAMPS * LAMP_SAMPLES, 3))
    lamps = np.concatenate([*lamp, np.full(AMBIENT_DIRECTIONS, -1)])
    return Directions(np.concatenate([*towards, sphere]), lamps, np.concatenate([zero, radiance]))


@dataclass(frozen=True)
class HairGrid:
    """Cross section of strands per volume (1/m) in cells of `VOXEL`, X Y Z; ``lower`` is the corner (m)."""

    density: Float[np.ndarray, "X Y Z"]
    lower: Float[np.ndarray, "3"]


def hair_grid(strands: Ribbons) -> HairGrid:
    """Gather the strands' projected area in cells, slightly blurred; no strands give one empty cell."""
    if len(strands.start) == 0:
        return HairGrid(np.zeros((1, 1, 1), np.float32), np.zeros(3))
    step = strands.end - strands.start
    area = np.linalg.norm(step, axis=1) * strands.radius.sum(axis=1)
    lower = strands.start.min(axis=0) - 6 * VOXEL
    shape = np.ceil((strands.start.max(axis=0) + 6 * VOXEL - lower) / VOXEL).astype(int)
    total = np.zeros(int(np.prod(shape)))
    for share in (0.25, 0.75):
        cell = np.clip(((strands.start + share * step - lower) / VOXEL).astype(int), 0, shape - 1)
        total += np.bincount(np.ravel_multi_index(tuple(cell.T), tuple(shape)), 0.5 * area, len(total))
    density = gaussian_filter(total.reshape(tuple(shape)) / VOXEL**3, 0.7)
    return HairGrid(density.astype(np.float32), lower)


def array(values: np.ndarray, dtype: Any) -> Any:
    """A warp array on the CPU."""
    kind = np.int32 if dtype is wp.int32 else np.float32
    return wp.array(np.ascontiguousarray(values, dtype=kind), dtype=dtype, device="cpu")


class Occlusion:
    """What stands in the light's way in one frame."""

    def __init__(self, surface: Surface, strands: Ribbons) -> None:
        grid = hair_grid(strands)
        self._mesh = wp.Mesh(array(surface.vertices, wp.vec3), array(surface.triangles.ravel(), wp.int32))
        self._density = array(grid.density, wp.float32)
        self._lower = wp.vec3(*(float(x) for x in grid.lower))
        rays = directions()
        self._rays = [array(rays.towards, wp.vec3), array(rays.lamp, wp.int32), array(rays.radiance, wp.vec3)]

    def levels(
        self, points: Float[np.ndarray, "n 3"], normals: Float[np.ndarray, "n 3"], absorption: float = 1.0
    ) -> Float[np.ndarray, "n 8"]:
        """Open share (0–1) of every lamp and the ambient irradiance (RGB); zero normals stand for strands (no cosine)."""
        out = wp.zeros((len(points), LEVELS), dtype=wp.float32, device="cpu")
        places = [array(points, wp.vec3), array(normals, wp.vec3)]
        inputs = [self._mesh.id, self._density, self._lower, *places, *self._rays, absorption, out]
        wp.launch(gather, len(points), inputs, device="cpu")
        return np.array(out.numpy())
