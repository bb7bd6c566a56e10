"""2-D facial landmarks of all views of a sequence: FaceMesh per view, one multi-view consensus.

Pixels of square images, centres at +0.5. iBUG-68 order (0 = the subject's right jaw = image left); FaceMesh's 478 points are
kept as the dense set. Where a face was not found, or a point contradicts the other views, the point is NaN.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, UInt8

from headcast.capture.camera import Camera
from headcast.errors import CaptureError
from headcast.imaging.facemesh_table import DENSE, POINTS, table_matrix
from headcast.imaging.landmark_flow import FACEMESH, Layout, steady, view_motion
from headcast.imaging.view_bias import view_bias

logger = logging.getLogger(__name__)

OUTER_EYE_CORNERS = (36, 45)
JAW = slice(0, 17)
ITERATIONS = 12
COARSE, FINE = 0.25, 0.02  # width of the robust kernel, shares of the eye distance, first and last iteration
OUTLIER = 0.12  # share of the eye distance by which a point may miss its triangulation
JAW_OUTLIER = 0.25  # the jaw contour slides with the view
WRONG_VIEW = 0.20  # a view whose median point misses by more is not this face
OWN_SHARE = 0.1  # how much of a view's own point stays in the consensus
MIN_VIEWS = 2
UNCONFIRMED = 0.3  # confidence of a point that no second view confirms


@dataclass(frozen=True)
class Landmarks:
    """Landmarks of ``F`` frames and ``C`` cameras (serials, sorted as the images are).

    ``points`` F C 68 2 (iBUG order) and ``dense`` F C 478 2 (FaceMesh order) in pixels, NaN where absent; ``confidence``
    F C 68 in [0, 1]. Raises ``CaptureError`` when the shapes contradict each other.
    """

    cameras: tuple[str, ...]
    points: Float[np.ndarray, "F C 68 2"]
    confidence: Float[np.ndarray, "F C 68"]
    dense: Float[np.ndarray, "F C 478 2"]

    def __post_init__(self) -> None:
        lead = (len(self.points), len(self.cameras))
        shapes = {"points": (*lead, POINTS, 2), "confidence": (*lead, POINTS), "dense": (*lead, DENSE, 2)}
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise CaptureError("landmarks", f"{name} has shape {getattr(self, name).shape}, expected {shape}")


def ibug_from_dense(dense: Float[np.ndarray, "*n 478 k"]) -> Float[np.ndarray, "*n 68 k"]:
    """iBUG's 68 points as convex combinations of FaceMesh's; a NaN among the terms gives NaN."""
    matrix = table_matrix()
    used = matrix.any(axis=0)
    return matrix[:, used] @ dense[..., used, :] if np.isfinite(dense[..., used, :]).all() else _with_gaps(matrix, dense)


def _with_gaps(matrix: Float[np.ndarray, "68 478"], dense: Float[np.ndarray, "*n 478 k"]) -> Float[np.ndarray, "*n 68 k"]:
    missing = (matrix > 0).astype(float) @ (~np.isfinite(dense)).astype(float) > 0
    return np.where(missing, np.nan, matrix @ np.nan_to_num(dense))


@contextmanager
def face_mesh(min_confidence: float = 0.5) -> Iterator[Any]:
    """A FaceMesh session in static mode with refined eyes and lips (MediaPipe; Kartynnik et al. 2019, Grishchenko et al. 2020)."""
    import mediapipe  # seconds to import, and only this backend needs it

    session = mediapipe.solutions.face_mesh.FaceMesh(
        static_image_mode=True, refine_landmarks=True, max_num_faces=1, min_detection_confidence=min_confidence
    )
    with session as mesh:
        yield mesh


def detect(mesh: Any, image: UInt8[np.ndarray, "H W 3"]) -> tuple[Float[np.ndarray, "478 2"], float]:
    """FaceMesh on one RGB image by an open session; NaN and 0 without a face. FaceMesh bends images that are not square: padded."""
    height, width = image.shape[:2]
    side = max(height, width)
    square = np.zeros((side, side, 3), np.uint8) if height != width else image
    if height != width:
        square[:height, :width] = image
    found = mesh.process(np.ascontiguousarray(square)).multi_face_landmarks
    if not found:
        return np.full((DENSE, 2), np.nan), 0.0
    return np.array([[point.x * side, point.y * side] for point in found[0].landmark]), 1.0


def detect_mediapipe(image: UInt8[np.ndarray, "H W 3"], min_confidence: float = 0.5) -> tuple[Float[np.ndarray, "478 2"], float]:
    """FaceMesh on one RGB image: 478 points (px; NaN when there is no face) and a score (1 found, 0 not)."""
    with face_mesh(min_confidence) as mesh:
        return detect(mesh, image)


def detect_views(
    frames: Iterable[Sequence[UInt8[np.ndarray, "H W 3"]]], cameras: tuple[str, ...], min_confidence: float = 0.5
) -> Landmarks:
    """FaceMesh in every view, steadied by optical flow: ``frames`` yields, in order of time, the RGB images of ``cameras``."""
    with face_mesh(min_confidence) as mesh:
        dense, score = tracked(frames, partial(detect, mesh), FACEMESH)
    confidence = np.repeat(score[..., None], POINTS, axis=-1)
    return Landmarks(cameras=cameras, points=ibug_from_dense(dense), confidence=confidence, dense=dense)


def tracked(
    frames: Iterable[Sequence[UInt8[np.ndarray, "H W 3"]]],
    detect: Callable[[UInt8[np.ndarray, "H W 3"]], tuple[Float[np.ndarray, "N 2"], Any]],
    layout: Layout,
) -> tuple[Float[np.ndarray, "F C N 2"], Float[np.ndarray, "F C *s"]]:
    """What ``detect`` says of every view, points and score; its tracks follow the optical flow."""
    found, moved, before = [], [], None
    for views in frames:
        found.append([detect(image) for image in views])
        if before is not None:
            steps = zip(before, views, found[-2], found[-1], strict=True)
            moved.append([view_motion(old, new, start[0], end[0], layout) for old, new, start, end in steps])
        before = views
    detected = np.array([[points for points, _ in views] for views in found])
    points = detected.copy()
    for c in range(detected.shape[1] if moved else 0):
        points[:, c] = steady(detected[:, c], np.array([views[c] for views in moved]))
    return points, np.array([[score for _, score in views] for views in found])


def eye_distances(points: Float[np.ndarray, "F C 68 2"]) -> Float[np.ndarray, "F"]:
    """The outer-eye-corner distance (px) in the most frontal of each frame's views; NaN without any."""
    right, left = (points[:, :, corner] for corner in OUTER_EYE_CORNERS)
    distance = np.linalg.norm(right - left, axis=-1)
    return np.array([np.percentile(seen, 80) if (seen := row[np.isfinite(row)]).size else np.nan for row in distance])


def projections(cameras: Sequence[Camera]) -> Float[np.ndarray, "C 3 4"]:
    """World → pixel matrices ``K [R t]``."""
    return np.stack([camera.K @ camera.world_to_camera[:3] for camera in cameras])


def reproject(points: Float[np.ndarray, "N 3"], matrices: Float[np.ndarray, "C 3 4"]) -> Float[np.ndarray, "C N 2"]:
    """Pixels of world points (m) in every view."""
    homogeneous = np.einsum("cij,nj->cni", matrices[:, :, :3], points) + matrices[:, None, :, 3]
    return homogeneous[..., :2] / homogeneous[..., 2:]


def triangulate(
    points: Float[np.ndarray, "C N 2"], matrices: Float[np.ndarray, "C 3 4"], eye_distance: float
) -> tuple[Float[np.ndarray, "N 3"], Float[np.ndarray, "C N"]]:
    """World points (m) seen by at least two views, and the distance (px) by which each view's point misses them; NaN elsewhere.

    Linear triangulation (Hartley & Sturm 1997) reweighted by a Geman-McClure kernel that narrows from `COARSE` to `FINE` eye
    distances.
    """
    seen = np.isfinite(points).all(axis=-1)
    pixels = np.where(seen[..., None], points, 0.0)
    powers, forms = pixel_powers(pixels[..., 0], pixels[..., 1]), ray_forms(matrices)
    weight = seen.astype(float)
    enough = seen.sum(axis=0) >= MIN_VIEWS
    for width in np.geomspace(COARSE, FINE, ITERATIONS) * eye_distance:
        world = _solve(over_views(weight * powers, forms))
        columns, rows, depth = matrices.transpose(1, 0, 2) @ np.vstack([world.T, np.ones(len(world))])
        miss = np.hypot(columns / depth - pixels[..., 0], rows / depth - pixels[..., 1])
        weight = seen / ((1.0 + (miss / width) ** 2) * np.maximum(depth, 1e-3)) ** 2
    return np.where(enough[:, None], world, np.nan), np.where(seen & enough, miss, np.nan)


def pixel_powers(u: Float[np.ndarray, "C N"], v: Float[np.ndarray, "C N"]) -> Float[np.ndarray, "4 C N"]:
    """1, u, v and u² + v² of pixels: what `ray_forms` are multiplied with."""
    return np.stack([np.ones_like(u), u, v, u**2 + v**2])


def ray_forms(matrices: Float[np.ndarray, "C 3 4"]) -> Float[np.ndarray, "C 4 4 4"]:
    """Forms q whose sum with `pixel_powers` is, for a homogeneous point X, Xᵀ q X = ((P₁ − u P₃)·X)² + ((P₂ − v P₃)·X)²."""
    first, second, third = (matrices[:, i] for i in range(3))

    def both(one: Float[np.ndarray, "C 4"], other: Float[np.ndarray, "C 4"]) -> Float[np.ndarray, "C 4 4"]:
        return one[:, :, None] * other[:, None]

    at_origin = both(first, first) + both(second, second)
    return np.stack([at_origin, *(-both(row, third) - both(third, row) for row in (first, second)), both(third, third)], axis=1)


def over_views(factors: Float[np.ndarray, "k C N"], forms: Float[np.ndarray, "C k *s"]) -> Float[np.ndarray, "N *s"]:
    """The sum over all views of every point's factors times the view's forms."""
    flat = forms.reshape(*forms.shape[:2], -1)
    summed = sum(factor.T @ flat[:, i] for i, factor in enumerate(factors))
    return np.reshape(summed, (factors.shape[2], *forms.shape[2:]))


def _solve(normal: Float[np.ndarray, "N 4 4"]) -> Float[np.ndarray, "N 3"]:
    """Where the forms are least."""
    ridge = 1e-9 * np.trace(normal[:, :3, :3], axis1=1, axis2=2)[:, None, None] * np.eye(3) + 1e-300 * np.eye(3)
    return -np.linalg.solve(normal[:, :3, :3] + ridge, normal[:, :3, 3:])[..., 0]


def consensus(landmarks: Landmarks, cameras: Mapping[str, Camera], own_share: float = OWN_SHARE) -> Landmarks:
    """Landmarks on which the views agree.

    What each point slides with the viewing direction is taken out first (`headcast.imaging.view_bias`). Each point is triangulated
    robustly over the views of its frame. A view whose median point misses by more than
    `WRONG_VIEW` eye distances is dropped; a point that misses by more than `OUTLIER` (on the jaw, which slides with the view,
    `JAW_OUTLIER`) becomes NaN; the rest moves to the reprojection, of its own place ``own_share`` remains. Nothing is added where a
    view has no detection. A point that no second view sees stays as it is, with low confidence.
    """
    matrices = projections([cameras[serial] for serial in landmarks.cameras])
    distance = eye_distances(landmarks.points)
    landmarks = _without_slide(landmarks, matrices, distance)
    tolerance = np.full(POINTS, OUTLIER)
    tolerance[JAW] = JAW_OUTLIER
    points, dense, confidence = landmarks.points.copy(), landmarks.dense.copy(), landmarks.confidence.copy()
    for f in np.flatnonzero(np.isfinite(distance)):
        world, miss = triangulate(points[f], matrices, distance[f])
        wrong = _wrong_views(miss, distance[f])
        points[f, wrong], dense[f, wrong], confidence[f, wrong] = np.nan, np.nan, 0.0
        miss[wrong] = np.nan
        points[f], share = _agree(points[f], world, miss, matrices, tolerance * distance[f], own_share)
        confidence[f] *= share
        world, miss = triangulate(dense[f], matrices, distance[f])
        dense[f], _ = _agree(dense[f], world, miss, matrices, np.full(DENSE, OUTLIER * distance[f]), own_share)
    dropped = np.isfinite(landmarks.points[..., 0]).sum() - np.isfinite(points[..., 0]).sum()
    logger.info("consensus: %d of %d points dropped", dropped, np.isfinite(landmarks.points[..., 0]).sum())
    return replace(landmarks, points=points, dense=dense, confidence=confidence)


def _without_slide(landmarks: Landmarks, matrices: Float[np.ndarray, "C 3 4"], distance: Float[np.ndarray, "F"]) -> Landmarks:
    """The points less what each slides with the viewing direction, measured on the dense ones where the detector has some."""
    is_dense = bool(np.isfinite(landmarks.dense).any())
    measured = landmarks.dense if is_dense else landmarks.points
    slide = view_bias(measured, matrices, distance, lambda seen, size: triangulate(seen, matrices, size)[0])
    of_points = ibug_from_dense(slide) if is_dense else slide
    return replace(landmarks, points=landmarks.points - of_points, dense=landmarks.dense - slide if is_dense else landmarks.dense)


def _wrong_views(miss: Float[np.ndarray, "C 68"], eye_distance: float) -> Bool[np.ndarray, "C"]:
    known = np.isfinite(miss)
    return np.array(
        [bool(row.any()) and np.median(view[row]) > WRONG_VIEW * eye_distance for view, row in zip(miss, known, strict=True)]
    )


def _agree(
    points: Float[np.ndarray, "C N 2"],
    world: Float[np.ndarray, "N 3"],
    miss: Float[np.ndarray, "C N"],
    matrices: Float[np.ndarray, "C 3 4"],
    tolerance: Float[np.ndarray, "N"],
    own_share: float,
) -> tuple[Float[np.ndarray, "C N 2"], Float[np.ndarray, "C N"]]:
    """Points pulled to their reprojection, outliers NaN; and how far each is to be trusted, in [0, 1]."""
    confirmed = np.isfinite(miss)
    with np.errstate(invalid="ignore"):
        outlier = confirmed & (miss > tolerance)
        trust = np.where(confirmed, 1.0 / (1.0 + (miss / (0.5 * tolerance)) ** 2), UNCONFIRMED)
    blended = own_share * points + (1.0 - own_share) * reproject(world, matrices)
    agreed = np.where(confirmed[..., None], blended, points)
    agreed[outlier] = np.nan
    return agreed, np.where(np.isfinite(agreed[..., 0]), trust, 0.0)
