"""The shirt: the bust's skin below a neckline, moved outwards, with a thick hem."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headcast.demo.surfaces import compact, cut, vertex_normals

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from headcast.demo.head import Subject

LIFT, HEM_THICKNESS = 0.006, 0.004


def neckline(points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n"]:
    """Negative below the neckline: a shallow scoop in front, higher at the nape."""
    return (
        points[:, 1]
        + 0.142
        + 0.55 * np.clip(points[:, 2] + 0.01, -0.05, 0.07)
        - 0.12 * np.clip(np.abs(points[:, 0]) - 0.06, 0, 0.05)
    )


def shirt(subject: Subject) -> tuple[Float[np.ndarray, "n 3"], Int[np.ndarray, "T 3"]]:
    """Vertices (m, world; the bust never moves) and triangles, the hem's thickness included."""
    level = neckline(subject.rest)
    points = subject.rest + LIFT * subject.normals
    region = (np.abs(points[:, 0]) < 0.27) & (points[:, 1] > -0.36)
    triangles = subject.triangles[region[subject.triangles].all(axis=1)]
    vertices, kept, rim = cut(points, triangles, level)
    normals = vertex_normals(vertices, kept)
    inner = {int(v): len(vertices) + k for k, v in enumerate(np.unique(rim))}
    lowered = np.array([vertices[v] - HEM_THICKNESS * normals[v] - [0, 0.0015, 0] for v in inner])
    strip = [t for a, b in rim for t in ((a, inner[int(b)], b), (a, inner[int(a)], inner[int(b)]))]
    used, faces = compact(np.concatenate([kept, np.array(strip, dtype=np.int64)]))
    return np.concatenate([vertices, lowered])[used], faces
