"""Calibration that is a little off: every camera's pose is moved to where all cameras together see the face.

Bundle adjustment (Triggs et al. 2000) by turns: points are triangulated robustly from all views, then each camera is turned and
shifted towards them. The prior of each camera's own error keeps what all cameras could share, the world's frame and size, in place.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from headcast.capture.camera import Camera
from headcast.errors import CaptureError
from headcast.imaging.landmarks import JAW, Landmarks, consensus, eye_distances, projections, triangulate

logger = logging.getLogger(__name__)

ROUNDS = 8
STEPS = 10
NOISE = 0.0015  # m at the point's depth: how far a detector places a point off, the same in all frames
KERNEL = 0.004  # m, of the robust weights (Geman & McClure 1987)
MIN_CAMERAS = 4
INNER = slice(JAW.stop, None)


@dataclass(frozen=True)
class CameraPrior:
    """Standard deviations of a calibration's error: turn of each camera (deg) and shift of its centre (mm)."""

    rotation_deg: float = 0.5
    translation_mm: float = 3.0


@dataclass(frozen=True)
class CameraMove:
    """By how much a camera was turned (deg) and its centre shifted (mm), and its mean residual (px) before and after."""

    rotation_deg: float
    translation_mm: float
    before_px: float
    after_px: float


def refine_cameras(
    detected: Landmarks, cameras: Mapping[str, Camera], prior: CameraPrior
) -> tuple[dict[str, Camera], dict[str, CameraMove]]:
    """Cameras that agree on the inner points of ``detected``, each view's own points before any consensus.

    Raises ``CaptureError`` for fewer than `MIN_CAMERAS` views: they agree with anything.
    """
    if len(detected.cameras) < MIN_CAMERAS:
        todo = f"{MIN_CAMERAS} are needed; set fitting.refine_cameras: false"
        raise CaptureError("fitting.refine_cameras", f"{len(detected.cameras)} cameras cannot tell which of them is off", todo)
    given = [cameras[serial] for serial in detected.cameras]
    moved = list(given)
    for _ in range(ROUNDS):
        pixels, world = _agreed(detected, moved)
        moved = [_towards(start, now, world, pixels[:, c], prior) for c, (start, now) in enumerate(zip(given, moved, strict=True))]
    before, after = (_residuals(*_agreed(detected, some), some) for some in (given, moved))
    moves = {
        serial: CameraMove(*_distance(*pair), float(old), float(new))
        for serial, pair, old, new in zip(detected.cameras, zip(given, moved, strict=True), before, after, strict=True)
    }
    for serial, move in moves.items():
        logger.info("camera %s: %.2f° and %.1f mm, %.2f → %.2f px", serial, *vars(move).values())
    return dict(cameras) | dict(zip(detected.cameras, moved, strict=True)), moves


def _agreed(detected: Landmarks, cameras: list[Camera]) -> tuple[Float[np.ndarray, "F C L 2"], Float[np.ndarray, "F L 3"]]:
    """The views' own inner points, without outliers and what they slide with the view, and where all views see them (m)."""
    own = consensus(detected, dict(zip(detected.cameras, cameras, strict=True)), own_share=1.0)
    matrices, distance = projections(cameras), eye_distances(own.points)
    world = np.full((len(distance), own.points.shape[2], 3), np.nan)
    for f in np.flatnonzero(np.isfinite(distance)):
        world[f], _ = triangulate(own.points[f], matrices, float(distance[f]))
    return own.points[:, :, INNER], world[:, INNER]


def _residuals(
    pixels: Float[np.ndarray, "F C L 2"], world: Float[np.ndarray, "F L 3"], cameras: list[Camera]
) -> Float[np.ndarray, "C"]:
    """Mean distance (px) of each camera's points from the projected ones; NaN for a camera without any."""
    missed = [np.linalg.norm(camera.project(world) - pixels[:, c], axis=-1) for c, camera in enumerate(cameras)]
    return np.array([np.nanmean(miss) if np.isfinite(miss).any() else np.nan for miss in missed])


def _towards(
    given: Camera, now: Camera, world: Float[np.ndarray, "F L 3"], pixels: Float[np.ndarray, "F L 2"], prior: CameraPrior
) -> Camera:
    """The pose from which the points are seen where they were, near the calibrated one (Gauss-Newton).

    A frame tells no more than another of the same face, so all frames together weigh as one.
    """
    seen = np.isfinite(world).all(axis=-1) & np.isfinite(pixels).all(axis=-1)
    frames = int(seen.any(axis=1).sum())
    if not frames:
        return given
    spread = np.repeat([np.radians(prior.rotation_deg), prior.translation_mm * 1e-3], 3)
    for _ in range(STEPS):
        residual, slope = _seen_from(now, world[seen], pixels[seen])
        weight = 1.0 / (1.0 + (residual**2).sum(axis=-1) / KERNEL**2) ** 2 / NOISE**2 / frames
        off = _difference(given, now)
        normal = np.einsum("n,nki,nkj->ij", weight, slope, slope) + np.diag(spread**-2.0)
        gradient = np.einsum("n,nki,nk->i", weight, slope, residual) + off / spread**2
        now = _posed(now, -np.linalg.solve(normal, gradient))
    return now


def _seen_from(
    camera: Camera, world: Float[np.ndarray, "n 3"], pixels: Float[np.ndarray, "n 2"]
) -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, "n 2 6"]]:
    """Residuals (m at the point's depth) and their slopes by a turn (rad) and a shift of the centre (m), camera axes."""
    local = world @ camera.world_to_camera[:3, :3].T + camera.world_to_camera[:3, 3]
    depth = local[:, 2:]
    rays = np.linalg.solve(camera.K, np.column_stack([pixels, np.ones(len(pixels))]).T).T
    ratio = local[:, :2] / depth
    zero, one = np.zeros(len(world)), np.ones(len(world))
    by_point = np.stack([np.stack([one, zero, -ratio[:, 0]], -1), np.stack([zero, one, -ratio[:, 1]], -1)], axis=1)
    x, y, z = local.T
    turn = np.stack([np.stack([zero, z, -y], -1), np.stack([-z, zero, x], -1), np.stack([y, -x, zero], -1)], axis=1)
    return (ratio - rays[:, :2] / rays[:, 2:]) * depth, np.concatenate([by_point @ turn, -by_point], axis=2)


def _posed(camera: Camera, step: Float[np.ndarray, "6"]) -> Camera:
    """The camera turned and shifted by a step along its own axes (rad, m)."""
    pose = np.eye(4)
    turn = Rotation.from_rotvec(step[:3]).as_matrix()
    pose[:3, :3] = turn @ camera.world_to_camera[:3, :3]
    pose[:3, 3] = -pose[:3, :3] @ (camera.center + camera.world_to_camera[:3, :3].T @ step[3:])
    return replace(camera, world_to_camera=pose)


def _difference(given: Camera, now: Camera) -> Float[np.ndarray, "6"]:
    """The turn (rad) and the shift of the centre (m), both along the camera's present axes, that lead from ``given`` to ``now``."""
    axes = now.world_to_camera[:3, :3]
    return np.concatenate(
        [Rotation.from_matrix(axes @ given.world_to_camera[:3, :3].T).as_rotvec(), axes @ (now.center - given.center)]
    )


def _distance(given: Camera, now: Camera) -> tuple[float, float]:
    """Degrees and millimetres between two poses."""
    off = _difference(given, now)
    return float(np.degrees(np.linalg.norm(off[:3]))), float(np.linalg.norm(off[3:]) * 1e3)
