"""Steadier landmarks: what a detector says of each frame, joined to how the skin moves between frames.

A detector places points well on average but anew in every frame; optical flow (Lucas & Kanade 1981, pyramidal, Bouguet 2001) knows
motion to a tenth of a pixel but not places. Per view and point the track is the least-squares compromise of both.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from scipy.linalg import solveh_banded

WINDOW_SHARE = 0.12  # of the eye distance: side of the window whose motion is a point's motion
LEVELS = 2
EYE_DISTANCE = 120.0  # px: larger images are reduced to this before the search
BACK_AND_FORTH_SHARE = 0.012  # of the eye distance: flow there and back must return this close
FLOW_TRUST = 300.0  # weight of a flow step against a detection, about (1.7 % / 0.1 % of the eye distance)²
MAX_CORRECTION_SHARE = 0.10  # flow that contradicts the detected motion by more is not of this point

# FaceMesh points whose skin does not keep its looks: eyelids, inner lips, irises, outline of the face.
UNSTEADY = (
    *(33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246),
    *(362, 382, 381, 380, 374, 373, 390, 249, 263, 466, 388, 387, 386, 385, 384, 398),
    *(78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95),
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
    *range(468, 478),
)


class Layout(NamedTuple):
    """Which points of a detector can be followed, and the pairs that tell a face's size."""

    steady: Int[np.ndarray, "N"]
    eye_corners: tuple[int, int]
    nasion_chin: tuple[int, int]


FACEMESH = Layout(np.setdiff1d(np.arange(478), UNSTEADY), (33, 263), (168, 152))
IBUG = Layout(np.r_[17:36, 48:60], (36, 45), (27, 8))  # brows, nose, outer lips
EYES_PER_HEIGHT = 0.77  # outer-eye-corner distance over nasion-chin distance of an adult face
MIN_EYE_DISTANCE = 8.0  # px


def motion(
    before: UInt8[np.ndarray, "H W 3"],
    after: UInt8[np.ndarray, "H W 3"],
    points: Float[np.ndarray, "N 2"],
    guesses: Float[np.ndarray, "N 2"],
    eye_distance: float,
) -> Float[np.ndarray, "N 2"]:
    """Displacement (px) of points from one image to the next, searched from ``guesses``; NaN where there and back do not agree."""
    zoom = min(1.0, EYE_DISTANCE / eye_distance)
    grays = [
        cv2.resize(cv2.cvtColor(i, cv2.COLOR_RGB2GRAY), None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA)
        for i in (before, after)
    ]
    start, guess = (np.ascontiguousarray(zoom * p - 0.5, dtype=np.float32)[:, None] for p in (points, guesses))
    eye_distance = zoom * eye_distance
    window = max(7, int(WINDOW_SHARE * eye_distance) | 1)
    forth, found = _lucas_kanade(grays[0], grays[1], start, guess, window)
    back, returned = _lucas_kanade(grays[1], grays[0], forth, start, window)
    missed = np.linalg.norm(back - start, axis=-1)[:, 0]
    far = np.linalg.norm(forth - guess, axis=-1)[:, 0]
    good = (found[:, 0] > 0) & (returned[:, 0] > 0) & (missed < BACK_AND_FORTH_SHARE * eye_distance)
    good &= far < MAX_CORRECTION_SHARE * eye_distance
    return np.where(good[:, None], (forth - start)[:, 0].astype(np.float64) / zoom, np.nan)


def _lucas_kanade(
    before: np.ndarray, after: np.ndarray, start: Float[np.ndarray, "N 1 2"], guess: Float[np.ndarray, "N 1 2"], window: int
) -> tuple[Float[np.ndarray, "N 1 2"], UInt8[np.ndarray, "N 1"]]:
    """Where points of one grey image are in the next, and 1 where found."""
    moved, found, _ = cv2.calcOpticalFlowPyrLK(
        before, after, start, guess.copy(), winSize=(window, window), maxLevel=LEVELS, flags=cv2.OPTFLOW_USE_INITIAL_FLOW
    )
    return np.asarray(moved), np.asarray(found)


def face_size(points: Float[np.ndarray, "P 2"], layout: Layout = FACEMESH) -> float:
    """The eye distance (px) as seen from the front: from the side the face's height tells it; NaN without a face."""
    pairs = (layout.eye_corners, layout.nasion_chin)
    width, height = (float(np.linalg.norm(points[a] - points[b])) for a, b in pairs)
    return max(width, EYES_PER_HEIGHT * height)


def view_motion(
    before: UInt8[np.ndarray, "H W 3"],
    after: UInt8[np.ndarray, "H W 3"],
    points: Float[np.ndarray, "P 2"],
    next_points: Float[np.ndarray, "P 2"],
    layout: Layout = FACEMESH,
) -> Float[np.ndarray, "P 2"]:
    """`motion` of the steady points between two frames of a view; NaN for the others and where a frame has no face."""
    moved = np.full(points.shape, np.nan)
    eye_distance = face_size(points, layout)
    if np.isfinite(points).all() and np.isfinite(next_points).all() and eye_distance > MIN_EYE_DISTANCE:
        chosen = layout.steady
        moved[chosen] = motion(before, after, points[chosen], next_points[chosen], eye_distance)
    return moved


def steady(detected: Float[np.ndarray, "F N 2"], moved: Float[np.ndarray, "G N 2"]) -> Float[np.ndarray, "F N 2"]:
    """Tracks near the detections whose steps follow the flow (G = F - 1 steps; NaN where unknown); absent detections stay absent.

    Per point the minimum of Σ (p(t) - d(t))² + `FLOW_TRUST` Σ (p(t+1) - p(t) - m(t))², a tridiagonal system.
    """
    seen, flows = np.isfinite(detected).all(axis=-1), np.isfinite(moved).all(axis=-1)
    flows &= seen[1:] & seen[:-1]
    step = np.where(flows[..., None], moved, 0.0)
    tracks = detected.copy()
    for n in np.flatnonzero(flows.any(axis=0)):
        tracks[:, n] = _tridiagonal(np.nan_to_num(detected[:, n]), seen[:, n], step[:, n], flows[:, n])
    return np.where(seen[..., None], tracks, np.nan)


def _tridiagonal(
    detected: Float[np.ndarray, "F 2"], seen: Bool[np.ndarray, "F"], step: Float[np.ndarray, "G 2"], flows: Bool[np.ndarray, "G"]
) -> Float[np.ndarray, "F 2"]:
    trust = FLOW_TRUST * flows
    diagonal = np.where(seen, 1.0, 1e-9)
    diagonal[:-1] += trust
    diagonal[1:] += trust
    right = detected * np.where(seen, 1.0, 0.0)[:, None]
    right[:-1] -= trust[:, None] * step
    right[1:] += trust[:, None] * step
    return solveh_banded(np.stack([diagonal, np.append(-trust, 0.0)]), right, lower=True)
