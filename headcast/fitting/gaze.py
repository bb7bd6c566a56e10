"""Where the eyes look: each eyeball is turned so that its iris meets the iris points of all views."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from scipy.ndimage import gaussian_filter1d

from headcast.fitting.normal import State
from headcast.geometry.rotations import matrix_to_axis_angle, quaternion_to_matrix, rotation_between
from headcast.heads.model import IRIS_CENTRES, IRISES, HeadModel
from headcast.imaging.landmarks import Landmarks, triangulate

SMOOTH_FRAMES = 0.7
MAX_TURN = 0.7  # rad


def eye_poses(
    landmarks: Landmarks,
    matrices: Float[np.ndarray, "C 3 4"],
    state: State,
    model: HeadModel,
    eye_distance_px: Float[np.ndarray, "F"],
) -> Float[np.ndarray, "F 6"]:
    """Rotation vectors (left eye, right eye; rad, model frame) of the eyeballs, on top of what the expression turns them.

    The line from the eye's centre to the triangulated iris is compared with that of the resting eye. Unseen irises leave the eyes
    at rest; turns are kept below `MAX_TURN`. Models without iris points give zeros.
    """
    pose = np.zeros((len(state.expression), 6))
    neutral = model.neutral(torch.from_numpy(state.identity))
    iris = model.dense_landmarks(neutral[None])[0, IRISES].numpy()
    for side, centre_point in enumerate(IRIS_CENTRES):
        if not len(model.eyes[side]) or not np.isfinite(iris[centre_point - IRISES.start]).all():
            continue
        centre = neutral[torch.as_tensor(model.eyes[side])].mean(dim=0).numpy()
        rest = iris[centre_point - IRISES.start] - centre
        seen = _iris(landmarks, matrices, state, centre_point, eye_distance_px)
        turned = rotation_between(torch.from_numpy(np.broadcast_to(rest, seen.shape).copy()), torch.from_numpy(seen - centre))
        vector = matrix_to_axis_angle(quaternion_to_matrix(turned)).numpy()
        pose[:, 3 * side : 3 * side + 3] = _plausible(vector) - state.expression @ model.gaze[:, 3 * side : 3 * side + 3]
    return pose


def _iris(
    landmarks: Landmarks, matrices: Float[np.ndarray, "C 3 4"], state: State, point: int, eye_distance_px: Float[np.ndarray, "F"]
) -> Float[np.ndarray, "F 3"]:
    """The iris centre of each frame in the model frame (m); NaN where fewer than two views see it."""
    local = np.full((len(state.expression), 3), np.nan)
    for f in np.flatnonzero(np.isfinite(eye_distance_px)):
        world, _ = triangulate(landmarks.dense[f, :, point : point + 1], matrices, float(eye_distance_px[f]))
        local[f] = state.rotation[f].T @ (world[0] - state.translation[f]) / state.scale
    return local


def _plausible(vector: Float[np.ndarray, "F 3"]) -> Float[np.ndarray, "F 3"]:
    """Turns limited in size and smoothed a little over time; missing ones at rest."""
    vector = np.nan_to_num(vector)
    size = np.linalg.norm(vector, axis=1, keepdims=True)
    limited = vector * np.minimum(1.0, MAX_TURN / np.maximum(size, 1e-9))
    return gaussian_filter1d(limited, SMOOTH_FRAMES, axis=0, mode="nearest")
