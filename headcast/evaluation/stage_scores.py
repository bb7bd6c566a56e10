"""Every stage held against ground truth: pure functions from a stage's arrays and the true ones to the figures of ``scores.json``.

Images of truth come already warped into the working crop (``headcast.evaluation.truth_crop``). Lengths are metres on the way in,
millimetres in the figures; figures over nothing are NaN.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from headcast.capture.camera import Camera

SOFT_BAND = (0.02, 0.98)
BAND_GROWTH_PX = 2
HAIR_CERTAIN = 0.9
CONFIDENCE_CERTAIN = 0.8
INNER = slice(17, 68)
JAW = slice(0, 17)
OUTER_EYE_CORNERS = (36, 45)
WILD_PERCENT = 15.0
MAX_YAW_DEG = 60.0
MIN_SHARE_OF_INNER = 0.5

Plane = Float[np.ndarray, "H W"]


def band(alpha: Plane) -> Bool[np.ndarray, "H W"]:
    """The soft edge of a true matte: alpha between 0.02 and 0.98, grown by two pixels."""
    soft = (alpha > SOFT_BAND[0]) & (alpha < SOFT_BAND[1])
    return ndimage.binary_dilation(soft, ndimage.generate_binary_structure(2, 2), iterations=BAND_GROWTH_PX)


def score_matting(views: Iterable[tuple[Plane, Plane, Bool[np.ndarray, "H W"]]]) -> dict[str, float]:
    """``mean_abs_error`` and ``band_error`` over all pixels of all views (estimate, truth, inside the frame)."""
    total, total_count, edge, edge_count = 0.0, 0, 0.0, 0
    for estimate, truth, visible in views:
        error = np.abs(np.asarray(estimate, np.float64) - truth)
        near = band(truth) & visible
        total, total_count = total + float(error[visible].sum()), total_count + int(visible.sum())
        edge, edge_count = edge + float(error[near].sum()), edge_count + int(near.sum())
    return {"mean_abs_error": _share(total, total_count), "band_error": _share(edge, edge_count)}


def _share(total: float, count: int) -> float:
    return total / count if count else float("nan")


def overlap(estimate: Plane, truth: Plane, visible: Bool[np.ndarray, "H W"]) -> float:
    """Intersection over union of two masks at one half, inside the frame; NaN where both are empty."""
    a, b = (estimate > 0.5) & visible, (truth > 0.5) & visible
    return _share(float((a & b).sum()), int((a | b).sum()))


def score_labels(views: Iterable[tuple[Plane, Plane, Plane, Plane, Bool[np.ndarray, "H W"]]]) -> dict[str, float]:
    """Mean and worst IoU over views of (hair, true hair, face, true face, inside the frame)."""
    hair, face = [], []
    for estimated_hair, true_hair, estimated_face, true_face, visible in views:
        hair.append(overlap(estimated_hair, true_hair, visible))
        face.append(overlap(estimated_face, true_face, visible))
    return {
        "hair_iou": _finite(np.mean, hair),
        "hair_iou_worst_view": _finite(np.min, hair),
        "face_iou": _finite(np.mean, face),
        "face_iou_worst_view": _finite(np.min, face),
    }


def _finite(statistic: object, values: Iterable[float] | np.ndarray) -> float:
    """A statistic over the finite values; NaN where there is none."""
    array = np.asarray(list(values) if not isinstance(values, np.ndarray) else values, np.float64).ravel()
    array = array[np.isfinite(array)]
    return float(statistic(array)) if array.size else float("nan")  # type: ignore[operator]


def orientation_errors_deg(
    angle: Plane, truth: Plane, confidence: Plane, hair: Plane, visible: Bool[np.ndarray, "H W"]
) -> Float[np.ndarray, " n"]:
    """Errors (degrees in [0, 90]) of undirected angles (rad) where hair is certain and its strands parallel; NaN: no estimate."""
    chosen = (hair > HAIR_CERTAIN) & (confidence > CONFIDENCE_CERTAIN) & visible & np.isfinite(truth)
    doubled = 2.0 * (np.asarray(angle[chosen], np.float64) - truth[chosen])
    return np.degrees(np.abs(np.arctan2(np.sin(doubled), np.cos(doubled)))) / 2.0


def score_orientation(errors_deg: Iterable[Float[np.ndarray, " n"]]) -> dict[str, float]:
    """``median_deg`` and ``p90_deg`` over all pixels that have an estimate, and the ``coverage`` of those that should."""
    errors = np.concatenate([np.zeros(0), *errors_deg])
    return {
        "median_deg": _finite(np.median, errors),
        "p90_deg": _finite(lambda known: np.percentile(known, 90), errors),
        "coverage": _share(float(np.isfinite(errors).sum()), errors.size),
    }


def frontal_eye_distance_px(landmarks_3d: Float[np.ndarray, "68 3"], camera: Camera) -> float:
    """The outer-eye-corner distance (true, 3-D) as it would project frontally at the eyes' depth, in pixels."""
    right, left = (landmarks_3d[corner] for corner in OUTER_EYE_CORNERS)
    depth = float((camera.world_to_camera @ np.append((right + left) / 2.0, 1.0))[2])
    focal = float(np.sqrt(camera.K[0, 0] * camera.K[1, 1]))
    return focal * float(np.linalg.norm(right - left)) / depth if depth > 0 else float("nan")


def view_yaw_deg(landmarks_3d: Float[np.ndarray, "68 3"], camera: Camera) -> float:
    """The angle between the face's forward direction and the camera about the head's vertical (0 frontal, + subject's left)."""
    lateral = landmarks_3d[45] - landmarks_3d[36]
    lateral = lateral / np.linalg.norm(lateral)
    ears = (landmarks_3d[0] + landmarks_3d[16]) / 2.0
    forward = landmarks_3d[27] - ears
    forward = forward - lateral * (forward @ lateral)
    towards = camera.center - ears
    return float(np.degrees(np.arctan2(towards @ lateral, towards @ forward / np.linalg.norm(forward))))


def faces_in_sight(landmarks_3d: Float[np.ndarray, "F 68 3"], cameras: list[Camera]) -> Bool[np.ndarray, "F C"]:
    """Views that see the face within ± 60° of yaw with every inner landmark inside the image."""
    seen = np.zeros((len(landmarks_3d), len(cameras)), bool)
    for f, points in enumerate(landmarks_3d):
        for c, camera in enumerate(cameras):
            pixels = camera.project(points[INNER])
            inside = (pixels >= 0) & (pixels <= (camera.width, camera.height))
            seen[f, c] = bool(inside.all()) and abs(view_yaw_deg(points, camera)) <= MAX_YAW_DEG
    return seen


def score_landmarks(
    points: Float[np.ndarray, "F C 68 2"], landmarks_3d: Float[np.ndarray, "F 68 3"], cameras: list[Camera]
) -> dict[str, float]:
    """Normalised mean error of 2-D landmarks (px, NaN absent) against projected true ones.

    ``nme_percent``: mean over views with the face in sight of the mean distance over the 51 inner points (17–67), in per cent of
    the outer-eye-corner distance as it would project frontally; ``jaw_nme_percent`` over the 17 jaw points. ``recall``: share of
    views in sight with at least half of the inner points. ``wild``: number of inner points, in any view, off by more than 15 %.
    """
    truth = np.stack([[camera.project(frame) for camera in cameras] for frame in landmarks_3d])
    scale = np.array([[frontal_eye_distance_px(frame, camera) for camera in cameras] for frame in landmarks_3d])
    error = 100.0 * np.linalg.norm(points - truth, axis=-1) / scale[..., None]
    seen = faces_in_sight(landmarks_3d, cameras)
    found = np.isfinite(error[..., INNER]).mean(axis=-1) >= MIN_SHARE_OF_INNER
    inner = [_finite(np.mean, view) for view in error[seen][:, INNER]]
    jaw = [_finite(np.mean, view) for view in error[seen][:, JAW]]
    return {
        "nme_percent": _finite(np.mean, inner),
        "jaw_nme_percent": _finite(np.mean, jaw),
        "recall": _share(float((found & seen).sum()), int(seen.sum())),
        "wild": int((error[..., INNER] > WILD_PERCENT).sum()),
    }


def score_reprojection(
    landmarks_3d: Float[np.ndarray, "F 68 3"], points: Float[np.ndarray, "F C 68 2"], cameras: list[Camera]
) -> float:
    """Mean distance (per cent of the image side) between the fitted landmarks' projections and the detected ones (NaN absent)."""
    errors = [
        np.linalg.norm(camera.project(frame) - points[f, c], axis=-1) * 100.0 / max(camera.width, camera.height)
        for f, frame in enumerate(landmarks_3d)
        for c, camera in enumerate(cameras)
    ]
    return _finite(np.mean, np.concatenate([np.zeros(0), *errors]))


def score_field(angles_deg: Float[np.ndarray, "n"]) -> dict[str, float]:
    """Angles between the field and true hair (degrees, NaN where no hair is near): median, 90 %, and the share of known ones."""
    known = angles_deg[np.isfinite(angles_deg)]
    median, most = np.percentile(known, [50, 90]) if known.size else (np.nan, np.nan)
    return {"field_median_deg": float(median), "field_p90_deg": float(most), "field_near_hair": _share(known.size, angles_deg.size)}
