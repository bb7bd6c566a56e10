"""Where the head is before the fit: triangulated points and Procrustes, so that any world frame works; one camera will do, too."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from headcast.errors import CaptureError
from headcast.fitting.observations import Observations
from headcast.geometry.alignment import similarity
from headcast.imaging.landmarks import triangulate

MIN_POINTS = 6
SWEEPS = 3
TURNS_DEG = (0.0, -35.0, 35.0)


def initial_placement(
    observations: Observations, rest: Float[np.ndarray, "L 3"], eye_distance_px: Float[np.ndarray, "F"]
) -> tuple[float, Float[np.ndarray, "F 3 3"], Float[np.ndarray, "F 3"]]:
    """One scale, and a rotation and translation (m) per frame, of a head whose points are ``rest`` (m, model frame).

    Without points that two cameras share, each frame is placed by its best-seen camera; frames without any take the nearest
    frame's placement. Raises ``CaptureError`` when no frame shows a face.
    """
    frames = len(observations.pixels)
    rotation, translation = np.tile(np.eye(3), (frames, 1, 1)), np.zeros((frames, 3))
    scale, placed = np.full(frames, np.nan), np.zeros(frames, dtype=bool)
    for f in np.flatnonzero(np.isfinite(eye_distance_px)):
        scale[f], rotation[f], translation[f], placed[f] = _triangulated(observations, rest, f, eye_distance_px[f])
    if not placed.any():
        return _single_camera(observations, rest)
    common = float(np.median(scale[placed]))
    centre = rest.mean(axis=0)
    for f in np.flatnonzero(placed):
        translation[f] += (scale[f] - common) * rotation[f] @ centre
    nearest = _nearest(placed)
    return common, rotation[nearest], translation[nearest]


def _nearest(known: Bool[np.ndarray, "F"]) -> np.ndarray:
    """For each frame the nearest frame that is known."""
    index = np.flatnonzero(known)
    return index[np.abs(np.arange(len(known))[:, None] - index[None]).argmin(axis=1)]


def _triangulated(
    observations: Observations, rest: Float[np.ndarray, "L 3"], frame: int, eye_distance_px: float
) -> tuple[float, Float[np.ndarray, "3 3"], Float[np.ndarray, "3"], bool]:
    pixels = np.where(observations.weights[frame][..., None] > 0, observations.pixels[frame], np.nan)
    world, _ = triangulate(pixels, observations.matrices, eye_distance_px)
    known = np.isfinite(world).all(axis=1)
    if known.sum() < MIN_POINTS:
        return np.nan, np.eye(3), np.zeros(3), False
    source, target = rest[known], world[known]
    inlier = np.ones(len(source), dtype=bool)
    for _ in range(SWEEPS):
        scale, rotation, translation = similarity(source[inlier], target[inlier])
        miss = np.linalg.norm(scale * source @ rotation.T + translation - target, axis=1)
        inlier = miss <= 3.0 * np.median(miss)
    return scale, rotation, translation, True


def _single_camera(
    observations: Observations, rest: Float[np.ndarray, "L 3"]
) -> tuple[float, Float[np.ndarray, "F 3 3"], Float[np.ndarray, "F 3"]]:
    """Scale 1; every frame upright before its best-seen camera, at the distance that its size tells, turned as fits best."""
    seen = (observations.weights > 0).sum(axis=2)
    placed = seen.max(axis=1) >= MIN_POINTS
    if not placed.any():
        raise CaptureError("landmarks", "no frame shows a face", "look at the images; check capture and rotation")
    rotation, translation = np.tile(np.eye(3), (len(seen), 1, 1)), np.zeros((len(seen), 3))
    for f in np.flatnonzero(placed):
        camera = int(seen[f].argmax())
        known = observations.weights[f, camera] > 0
        guesses = [_before_camera(observations, rest, f, camera, known, turn) for turn in TURNS_DEG]
        _, rotation[f], translation[f] = min(guesses, key=lambda guess: guess[0])
    nearest = _nearest(placed)
    return 1.0, rotation[nearest], translation[nearest]


def _before_camera(
    observations: Observations,
    rest: Float[np.ndarray, "L 3"],
    frame: int,
    camera: int,
    known: Bool[np.ndarray, "L"],
    turn_deg: float,
) -> tuple[float, Float[np.ndarray, "3 3"], Float[np.ndarray, "3"]]:
    """A head turned by ``turn_deg``, its points as spread and centred as the seen ones: error (px), rotation, translation."""
    matrix, pixels = observations.matrices[camera], observations.pixels[frame, camera, known]
    K, local = _decompose(matrix)
    c, s = np.cos(np.radians(turn_deg)), np.sin(np.radians(turn_deg))
    upright = np.diag([1.0, -1.0, -1.0]) @ np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])
    arms = rest[known] @ upright.T
    rays = np.linalg.solve(K, np.vstack([pixels.T, np.ones(len(pixels))])).T
    depth = np.sqrt(arms[:, :2].var(axis=0).sum() / rays[:, :2].var(axis=0).sum())
    shift = depth * rays.mean(axis=0) - arms.mean(axis=0)
    seen = (arms + shift) @ K.T
    error = float(np.median(np.linalg.norm(seen[:, :2] / seen[:, 2:] - pixels, axis=1)))
    return error, local[:, :3].T @ upright, local[:, :3].T @ (shift - local[:, 3])


def _decompose(matrix: Float[np.ndarray, "3 4"]) -> tuple[Float[np.ndarray, "3 3"], Float[np.ndarray, "3 4"]]:
    """``K`` and ``[R t]`` of a projection matrix ``K [R t]`` (RQ by a flipped QR)."""
    flip = np.eye(3)[::-1]
    r = np.linalg.qr((flip @ matrix[:, :3]).T)[1]
    K = flip @ r.T @ flip
    sign = np.diag(np.sign(np.diag(K)))
    K = K @ sign
    return K / K[2, 2], np.linalg.solve(K, matrix)
