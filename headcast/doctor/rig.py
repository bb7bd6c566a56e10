"""The rig held against what its views detected: geometry, convention, scale, residuals, synchronisation, motion.

Everything is computed from the landmarks before the consensus, which hides what is asked for here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from jaxtyping import Float

from headcast.capture.calibration import DISTANCE_M, focus
from headcast.capture.camera import Camera
from headcast.doctor.checks import Finding, judge
from headcast.imaging.landmarks import OUTER_EYE_CORNERS, eye_distances, projections, triangulate

OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])
CONVENTION_FRAMES = 5
MIN_MOTION = 0.003  # rms motion of the face per frame, share of the side, below which nothing is said about synchronisation
MIN_FRAMES = 5


@dataclass(frozen=True)
class Rig:
    """Cameras by serial (sorted) with the landmarks that each view detected and what they say together.

    ``detected`` F C 68 2 px, NaN absent; ``world`` F 68 3 m; ``miss`` F C 68 px: how far a detection lies from the reprojection.
    """

    cameras: Mapping[str, Camera]
    detected: Float[np.ndarray, "F C 68 2"]
    world: Float[np.ndarray, "F 68 3"]
    miss: Float[np.ndarray, "F C 68"]

    @property
    def side(self) -> float:
        """Side of the images (px)."""
        return float(next(iter(self.cameras.values())).width)

    @property
    def center(self) -> Float[np.ndarray, "3"]:
        """The middle of the face (m), or where the cameras look when no face was triangulated."""
        known = self.world[np.isfinite(self.world).all(-1)]
        return np.median(known, axis=0) if len(known) else focus(list(self.cameras.values()))


def observe(cameras: Mapping[str, Camera], detected: Float[np.ndarray, "F C 68 2"]) -> Rig:
    """Triangulate the detections of every frame."""
    matrices, distance = projections(list(cameras.values())), eye_distances(detected)
    world, miss = np.full((len(detected), 68, 3), np.nan), np.full(detected.shape[:3], np.nan)
    for f in np.flatnonzero(np.isfinite(distance)):
        world[f], miss[f] = triangulate(detected[f].astype(np.float64), matrices, distance[f])
    return Rig(cameras, detected.astype(np.float64), world, miss)


def examine_rig(rig: Rig, agreed: Float[np.ndarray, "F C 68 2"]) -> list[Finding]:
    """Every finding about cameras and landmarks; ``agreed`` are the landmarks after the consensus."""
    residual = dict(zip(rig.cameras, camera_residuals(rig), strict=True))
    offsets = dict(zip(rig.cameras, time_offsets(rig), strict=True))
    faces = np.isfinite(rig.detected[..., 0]).any(-1).sum(1)
    moved = face_motion(rig)
    return [
        _cameras(rig),
        judge("spread", spread_deg(rig)),
        _convention(rig),
        judge("scale", 1000 * eye_corner_distance(rig), _scale_hint(eye_corner_distance(rig))),
        judge("reprojection", *largest(residual, "camera")),
        judge("synchronisation", *largest({serial: abs(offset) for serial, offset in offsets.items()}, "camera")),
        judge("faces", float(faces.min()), f"frame {int(faces.argmin())}"),
        _outliers(rig, agreed),
        judge("motion", *largest({str(f + 1): value for f, value in enumerate(moved)}, "frame")),
    ]


def largest(values: Mapping[str, float], kind: str) -> tuple[float, str]:
    """The largest known value and what it belongs to; NaN without any."""
    known = {name: value for name, value in values.items() if np.isfinite(value)}
    worst = max(known, key=known.__getitem__, default="")
    return (known[worst], f"{kind} {worst}") if known else (float("nan"), "")


def _cameras(rig: Rig) -> Finding:
    wrong = [serial for serial, camera in rig.cameras.items() if not _sees(camera, rig.center)]
    return judge("cameras", len(wrong), f"camera {', '.join(wrong)}" if wrong else "")


def _sees(camera: Camera, point: Float[np.ndarray, "3"]) -> bool:
    pixel = camera.project(point[None])[0]
    inside = bool(((pixel >= 0) & (pixel <= (camera.width, camera.height))).all())
    return inside and DISTANCE_M[0] <= float(np.linalg.norm(camera.center - point)) <= DISTANCE_M[1]


def spread_deg(rig: Rig) -> float:
    """The widest angle (degrees) between two cameras, seen from the head."""
    towards = [(camera.center - rig.center) / np.linalg.norm(camera.center - rig.center) for camera in rig.cameras.values()]
    return float(np.degrees(np.arccos(np.clip(min(a @ b for a, b in combinations(towards, 2)), -1, 1))))


def _convention(rig: Rig) -> Finding:
    """Are the matrices better explained as inverted, as OpenGL's, or as both?"""
    seen = np.isfinite(rig.detected[..., 0]).sum((1, 2))
    frames = np.argsort(-seen, kind="stable")[:CONVENTION_FRAMES]
    residuals = {name: _residual(cameras, rig.detected[frames]) for name, cameras in _conventions(rig.cameras).items()}
    given = residuals.pop("as calibrated")
    best = min(residuals, key=residuals.__getitem__)
    if not np.isfinite(given) and not np.isfinite(residuals[best]):
        return judge("convention", float("nan"))
    return judge(
        "convention", given / max(residuals[best], 1e-9), f"the best other convention is {best}" if given > residuals[best] else ""
    )


def _conventions(cameras: Mapping[str, Camera]) -> dict[str, dict[str, Camera]]:
    changes = {
        "as calibrated": lambda camera: camera.world_to_camera,
        "camera-to-world": lambda camera: camera.camera_to_world,
        "OpenGL axes": lambda camera: OPENGL @ camera.world_to_camera,
        "camera-to-world with OpenGL axes": lambda camera: OPENGL @ camera.camera_to_world,
    }
    return {
        name: {serial: replace(camera, world_to_camera=change(camera)) for serial, camera in cameras.items()}
        for name, change in changes.items()
    }


def _residual(cameras: Mapping[str, Camera], detected: Float[np.ndarray, "F C 68 2"]) -> float:
    """The median miss (px) of points in front of the cameras; infinite where most lie behind."""
    rig = observe(cameras, detected)
    known = rig.world[np.isfinite(rig.world).all(-1)]
    if not len(known):
        return float("inf")
    in_front = np.mean([np.isfinite(camera.project(known)).all(-1).mean() for camera in cameras.values()])
    return float(np.nanmedian(rig.miss)) if in_front > 0.5 else float("inf")


def eye_corner_distance(rig: Rig) -> float:
    """The median distance (m) between the outer corners of the eyes; NaN where they were never triangulated."""
    right, left = (rig.world[:, corner] for corner in OUTER_EYE_CORNERS)
    distance = np.linalg.norm(right - left, axis=-1)
    return float(np.median(distance[np.isfinite(distance)])) if np.isfinite(distance).any() else float("nan")


def _scale_hint(distance: float) -> str:
    factor = distance / 0.09
    return f"the rig looks {factor:.3g} times as large as it is" if np.isfinite(factor) and not 0.67 < factor < 1.5 else ""


def camera_residuals(rig: Rig) -> Float[np.ndarray, "C"]:
    """Each camera's median miss over frames and landmarks, in per cent of the side; NaN without a detection."""
    known = np.isfinite(rig.miss)
    medians = [np.median(rig.miss[:, c][known[:, c]]) if known[:, c].any() else np.nan for c in range(len(rig.cameras))]
    return 100 * np.array(medians) / rig.side


def time_offsets(rig: Rig) -> Float[np.ndarray, "C"]:
    """Frames by which each camera lags (+) or leads: its misses along the motion of the face; NaN where the face is too still."""
    if len(rig.world) < MIN_FRAMES:
        return np.full(len(rig.cameras), np.nan)
    offsets = []
    for c, camera in enumerate(rig.cameras.values()):
        expected = np.stack([camera.project(frame) for frame in rig.world])
        velocity = np.gradient(expected, axis=0)
        residual = expected - rig.detected[:, c]
        known = np.isfinite(velocity).all(-1) & np.isfinite(residual).all(-1)
        offsets.append(_along(_centred(residual, known), _centred(velocity, known), known, MIN_MOTION * rig.side))
    return np.array(offsets) - np.nanmedian(offsets) if np.isfinite(offsets).any() else np.array(offsets)


def _centred(values: Float[np.ndarray, "F 68 2"], known: np.ndarray) -> Float[np.ndarray, "F 68 2"]:
    """Less each landmark's mean over time: a landmark that is always off says nothing about time."""
    kept = np.where(known[..., None], values, 0.0)
    return np.where(known[..., None], kept - kept.sum(0) / np.maximum(known.sum(0), 1)[:, None], 0.0)


def _along(residual: np.ndarray, velocity: np.ndarray, known: np.ndarray, least: float) -> float:
    energy = float((velocity**2).sum())
    if known.sum() < 10 * MIN_FRAMES or np.sqrt(energy / known.sum()) < least:
        return float("nan")
    return float((residual * velocity).sum()) / energy


def _outliers(rig: Rig, agreed: Float[np.ndarray, "F C 68 2"]) -> Finding:
    seen, kept = np.isfinite(rig.detected[..., 0]), np.isfinite(agreed[..., 0])
    counts = seen.sum((0, 2))
    lost = {s: float(d / n) for s, d, n in zip(rig.cameras, (seen & ~kept).sum((0, 2)), counts, strict=True) if n}
    worst = largest(lost, "most in camera")[1] if any(lost.values()) else ""
    return judge("outliers", 100 * float((seen & ~kept).sum()) / counts.sum() if counts.sum() else float("nan"), worst)


def face_motion(rig: Rig) -> Float[np.ndarray, "f"]:
    """How far the face moves from each frame to the next: median over landmarks and cameras, per cent of the side."""
    step = np.linalg.norm(np.diff(rig.detected, axis=0), axis=-1)
    return 100 * np.array([np.median(row[np.isfinite(row)]) if np.isfinite(row).any() else np.nan for row in step]) / rig.side
