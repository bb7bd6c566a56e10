"""Meshes of the demo subject: subdivision, normals, triangles, cutting. NumPy and SciPy only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from headcast.demo.curves import unit

if TYPE_CHECKING:
    from jaxtyping import Float, Int


def triangulate(quads: Int[np.ndarray, "Q 4"]) -> Int[np.ndarray, "T 3"]:
    """Two triangles a quad: first all (0, 1, 2), then all (0, 2, 3)."""
    return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])


def vertex_normals(vertices: Float[np.ndarray, "V 3"], triangles: Int[np.ndarray, "T 3"]) -> Float[np.ndarray, "V 3"]:
    """Area-weighted unit normals (zero for unused vertices)."""
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    facing = np.cross(b - a, c - a)
    normals = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(normals, triangles[:, corner], facing)
    return unit(normals)


def sample(
    vertices: Float[np.ndarray, "V 3"],
    triangles: Int[np.ndarray, "T 3"],
    weights: Float[np.ndarray, "T"],
    count: int,
    rng: np.random.Generator,
) -> tuple[Int[np.ndarray, "n"], Float[np.ndarray, "n 3"]]:
    """Random points on triangles, density ∝ ``weights``: triangle indices and barycentric coordinates."""
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1) * weights
    chosen = rng.choice(len(triangles), count, p=area / area.sum())
    u, v = rng.random(count), rng.random(count)
    folded = u + v > 1
    u[folded], v[folded] = 1 - u[folded], 1 - v[folded]
    return chosen, np.stack([1 - u - v, u, v], axis=1)


def at_barycentric(
    values: Float[np.ndarray, "V D"], triangles: Int[np.ndarray, "n 3"], weights: Float[np.ndarray, "n 3"]
) -> Float[np.ndarray, "n D"]:
    """Vertex values interpolated at points of triangles."""
    return np.einsum("nkd,nk->nd", values[triangles], weights)


def compact(faces: Int[np.ndarray, "T K"]) -> tuple[Int[np.ndarray, "n"], Int[np.ndarray, "T K"]]:
    """The vertices that ``faces`` use (ascending) and the faces renumbered to them."""
    used, renumbered = np.unique(faces, return_inverse=True)
    return used, renumbered.reshape(faces.shape)


def catmull_clark(quads: Int[np.ndarray, "Q 4"], count: int) -> tuple[sparse.csr_matrix, Int[np.ndarray, "R 4"]]:
    """One level of Catmull–Clark subdivision (1978) of a quad mesh with ``count`` vertices, as a matrix and the finer quads.

    Rows 0..count-1 are the moved vertices, then edge points, then face points. Boundary edges take midpoints, boundary vertices
    the cubic B-spline rule 1/8, 6/8, 1/8.
    """
    corners = np.stack([quads, np.roll(quads, -1, axis=1)], axis=-1).reshape(-1, 2)
    edges, inverse, uses = np.unique(np.sort(corners, axis=1), axis=0, return_inverse=True, return_counts=True)
    edge_of = inverse.reshape(quads.shape)
    face_points = _rows(np.repeat(np.arange(len(quads)), 4), quads.ravel(), 0.25, (len(quads), count))
    middle = _rows(np.repeat(np.arange(len(edges)), 2), edges.ravel(), 0.5, (len(edges), count))
    edge_faces = _rows(edge_of.ravel(), np.repeat(np.arange(len(quads)), 4), 1.0, (len(edges), len(quads)))
    inner = sparse.diags((uses == 2).astype(float))
    edge_points = 0.5 * inner @ (middle + 0.5 * edge_faces @ face_points) + sparse.diags((uses != 2).astype(float)) @ middle
    vertex_points = _moved_vertices(quads, edges, uses, middle, face_points, count)
    matrix = sparse.vstack([vertex_points, edge_points, face_points]).tocsr()
    e, f = count + edge_of, count + len(edges) + np.arange(len(quads))[:, None]
    finer = [np.stack([quads[:, k], e[:, k], f[:, 0], e[:, k - 1]], axis=1) for k in range(4)]
    return matrix, np.concatenate(finer)


def _rows(rows: np.ndarray, columns: np.ndarray, value: float, shape: tuple[int, int]) -> sparse.csr_matrix:
    return sparse.csr_matrix((np.full(len(rows), value), (rows, columns)), shape=shape)


def _moved_vertices(
    quads: np.ndarray, edges: np.ndarray, uses: np.ndarray, middle: sparse.csr_matrix, face_points: sparse.csr_matrix, count: int
) -> sparse.csr_matrix:
    around_faces = _rows(quads.ravel(), np.repeat(np.arange(len(quads)), 4), 1.0, (count, len(quads)))
    around_edges = _rows(edges.ravel(), np.repeat(np.arange(len(edges)), 2), 1.0, (count, len(edges)))
    rim_edges = around_edges @ sparse.diags((uses != 2).astype(float))
    on_rim = np.asarray(rim_edges.sum(axis=1)).ravel() > 0
    valence = np.maximum(np.asarray(around_faces.sum(axis=1)).ravel(), 1)
    identity = sparse.identity(count)
    mean_face = sparse.diags(1 / valence) @ around_faces @ face_points
    mean_edge = sparse.diags(1 / np.maximum(np.asarray(around_edges.sum(axis=1)).ravel(), 1)) @ around_edges @ middle
    inner = sparse.diags(1 / valence) @ (mean_face + 2 * mean_edge) + sparse.diags((valence - 3) / valence) @ identity
    rim = 0.5 * identity + sparse.diags(0.5 / np.maximum(np.asarray(rim_edges.sum(axis=1)).ravel(), 1)) @ rim_edges @ middle
    unused = np.asarray(around_faces.sum(axis=1)).ravel() == 0
    keep = ~(on_rim | unused)
    return sparse.diags(keep * 1.0) @ inner + sparse.diags(on_rim * 1.0) @ rim + sparse.diags(unused * 1.0) @ identity


def cut(
    vertices: Float[np.ndarray, "V 3"], triangles: Int[np.ndarray, "T 3"], level: Float[np.ndarray, "V"]
) -> tuple[Float[np.ndarray, "W 3"], Int[np.ndarray, "U 3"], Int[np.ndarray, "E 2"]]:
    """Keep the part of a mesh where ``level`` ≤ 0, triangles cut along the line ``level`` = 0; also the new edges on that line."""
    inside = level <= 0
    points = [*vertices]
    on_edge: dict[tuple[int, int], int] = {}

    def crossing(a: int, b: int) -> int:
        key = (min(a, b), max(a, b))
        if key not in on_edge:
            share = level[a] / (level[a] - level[b])
            on_edge[key] = len(points)
            points.append(vertices[a] + share * (vertices[b] - vertices[a]))
        return on_edge[key]

    kept = [tuple(t) for t in triangles[inside[triangles].all(axis=1)]]
    rim: list[tuple[int, int]] = []
    for triangle in triangles[inside[triangles].any(axis=1) & ~inside[triangles].all(axis=1)]:
        turn = int(np.argmax(inside[triangle] & ~np.roll(inside[triangle], 1)))
        a, b, c = np.roll(triangle, -turn)
        if inside[b]:
            p, q = crossing(b, c), crossing(a, c)
            kept += [(a, b, p), (a, p, q)]
        else:
            p, q = crossing(a, b), crossing(a, c)
            kept.append((a, p, q))
        rim.append((p, q))
    return np.array(points), np.array(kept, dtype=np.int64), np.array(rim, dtype=np.int64).reshape(-1, 2)
