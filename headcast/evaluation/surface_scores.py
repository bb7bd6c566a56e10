"""How well a fitted head follows the true one: surface distance after rigid alignment alone, and jitter of its rigid motion."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from headcast.capture.camera import Camera
from headcast.geometry.queries import at_barycentric, closest_point

ALIGNMENT_ITERATIONS = 40
ALIGNMENT_TOLERANCE = 1e-6
FACE_CERTAIN = 0.9
DEPTH_TOLERANCE = 0.002
MIN_VIEWS = 2
SPACING = 0.003
SECOND_DIFFERENCE_GAIN = 6.0**0.5
MOVING = 0.2

Points = Float[np.ndarray, "P 3"]


class FaceView(NamedTuple):
    """What one camera truly saw: share of face (0..1) and depth (m, 0 background) of each pixel."""

    camera: Camera
    face: Float[np.ndarray, "H W"]
    depth: Float[np.ndarray, "H W"]


def face_vertices(
    vertices: Float[np.ndarray, "V 3"], views: Sequence[FaceView], spacing: float = SPACING
) -> Bool[np.ndarray, " V"]:
    """Vertices of the true mesh (m, world) on the face: seen as face, within 2 mm of the depth map, by at least two views.

    Vertices crowd in eyes and lips (a third of those of a scan-like mesh), where figures over all of them would speak of little
    else; so one a cell of ``spacing`` (m) is kept. Choose in one frame and follow these vertices through the others.
    """
    if not views:
        return np.zeros(len(vertices), bool)
    seen = np.sum([_seen_as_face(vertices, view) for view in views], axis=0) >= min(MIN_VIEWS, len(views))
    chosen = np.nonzero(seen)[0]
    kept = np.zeros(len(vertices), bool)
    kept[chosen[thinned(vertices[chosen], spacing)]] = True
    return kept


def _seen_as_face(vertices: Float[np.ndarray, "V 3"], view: FaceView) -> Bool[np.ndarray, " V"]:
    height, width = view.face.shape
    pixels = view.camera.project(vertices)
    pixels = np.where(np.isfinite(pixels), pixels, -1.0)
    column, row = np.floor(pixels).astype(np.int64).T
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    column, row = np.clip(column, 0, width - 1), np.clip(row, 0, height - 1)
    depth = vertices @ view.camera.world_to_camera[2, :3] + view.camera.world_to_camera[2, 3]
    return inside & (view.face[row, column] > FACE_CERTAIN) & (np.abs(view.depth[row, column] - depth) < DEPTH_TOLERANCE)


def thinned(points: Points, spacing: float) -> Bool[np.ndarray, " P"]:
    """One point (the first) of each cubic cell of side ``spacing`` (m): points spread evenly however densely they came."""
    cells = np.floor(points / spacing).astype(np.int64)
    _, first = np.unique(cells, axis=0, return_index=True)
    kept = np.zeros(len(points), bool)
    kept[first] = True
    return kept


def rigid_transform(source: Points, target: Points) -> Float[np.ndarray, "4 4"]:
    """The rotation and translation (no scale) that bring ``source`` closest to ``target`` (Kabsch 1976)."""
    centre_source, centre_target = source.mean(axis=0), target.mean(axis=0)
    u, _, vt = np.linalg.svd((source - centre_source).T @ (target - centre_target))
    flip = np.diag([1.0, 1.0, np.sign(np.linalg.det(vt.T @ u.T))])
    transform = np.eye(4)
    transform[:3, :3] = vt.T @ flip @ u.T
    transform[:3, 3] = centre_target - transform[:3, :3] @ centre_source
    return transform


def transform_points(transform: Float[np.ndarray, "4 4"], points: Points) -> Points:
    """Points under a 4×4 rigid transform."""
    return points @ transform[:3, :3].T + transform[:3, 3]


def surface_distances(
    points: Points, vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "T 3"]
) -> tuple[Float[np.ndarray, " P"], Float[np.ndarray, "4 4"]]:
    """Distances (m) of true points to a fitted surface after rigid alignment, and the alignment (points → surface).

    Iterated closest points (Besl and McKay 1992) without scale; ends when a step moves no point by more than a micrometre.
    """
    surface, triangles = torch.as_tensor(vertices, dtype=torch.float64), torch.as_tensor(faces, dtype=torch.int64)
    total, moved = np.eye(4), np.asarray(points, np.float64)
    for _ in range(ALIGNMENT_ITERATIONS):
        found = closest_point(torch.from_numpy(moved), surface, triangles)
        nearest = at_barycentric(surface, triangles, found.face, found.barycentric).numpy()
        step = rigid_transform(moved, nearest)
        total, before = step @ total, moved
        moved = transform_points(step, moved)
        if np.abs(moved - before).max() < ALIGNMENT_TOLERANCE:
            break
    return closest_point(torch.from_numpy(moved), surface, triangles).distance.numpy(), total


def score_surface(frames: Iterable[tuple[Points, Float[np.ndarray, "V 3"]]], faces: Int[np.ndarray, "T 3"]) -> dict[str, float]:
    """``surface_median_mm`` and ``surface_p90_mm`` over frames of (true face points, fitted vertices), each aligned by itself.

    ``faces`` are the triangles of the fitted surface that count (leave out the inside of the mouth).
    """
    distances = np.concatenate([np.zeros(0), *(surface_distances(points, vertices, faces)[0] for points, vertices in frames)])
    if not distances.size:
        return {"surface_median_mm": float("nan"), "surface_p90_mm": float("nan")}
    return {"surface_median_mm": float(np.median(distances) * 1e3), "surface_p90_mm": float(np.percentile(distances, 90) * 1e3)}


def jitter_mm(fitted: Float[np.ndarray, "F 4 4"], truth: Float[np.ndarray, "F 4 4"], points: Points) -> float:
    """Frame-to-frame noise of the tracked skull in millimetres; NaN for fewer than three frames or no point.

    Both tracks carry the same ``points`` (m, world, on the head at frame 0) by their motion relative to frame 0. The difference of
    the two paths is the tracking error; of a head held still the true path is constant, so this is the jitter of a still head, and
    a moving head counts alike. From the error's second difference e(t−1) − 2 e(t) + e(t+1): root mean square over points and frames
    of its length, divided by √6, the gain of a second difference on white noise. A constant offset or a slow drift costs nothing.
    """
    if len(fitted) < 3 or not len(points):
        return float("nan")
    error = _carried(fitted, points) - _carried(truth, points)
    second = error[:-2] - 2.0 * error[1:-1] + error[2:]
    return float(np.sqrt((second**2).sum(axis=-1).mean()) / SECOND_DIFFERENCE_GAIN * 1e3)


def expression_correlation(
    code: Float[np.ndarray, "F E"], names: Sequence[str], truth: Float[np.ndarray, "F U"], true_names: Sequence[str]
) -> float:
    """Correlation over time of fitted and true activation, the mean over the units that both models name and that truly move by
    `MOVING` or more. A unit that stays still in the fit counts 0; NaN where there is none to compare.
    """
    found = []
    for unit, name in enumerate(true_names):
        if name in names and np.ptp(truth[:, unit]) >= MOVING:
            fitted = code[:, list(names).index(name)]
            found.append(float(np.corrcoef(fitted, truth[:, unit])[0, 1]) if np.ptp(fitted) > 0 else 0.0)
    return float(np.mean(found)) if found else float("nan")


def _carried(motion: Float[np.ndarray, "F 4 4"], points: Points) -> Float[np.ndarray, "F P 3"]:
    """Where points of frame 0 are in every frame under a rigid track."""
    inverse = np.linalg.inv(motion[0])
    return np.stack([transform_points(pose @ inverse, points) for pose in motion])
