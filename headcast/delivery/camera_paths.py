"""Where a film is taken from: one camera held still, or an orbit about the head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from headcast.capture.camera import Camera
from headcast.errors import HeadcastError

ORBIT_SWING_DEG = 35.0
ORBIT_LIFT_DEG = 6.0
ORBIT_FIELD = 0.42
"""Width (m) of what an orbiting camera shows at the distance of the head."""

Vector = Float[np.ndarray, " 3"]
FRONT: Vector = np.array([0.0, 0.0, 1.0])
UP: Vector = np.array([0.0, 1.0, 0.0])


def rig_axes(cameras: Sequence[Camera], center: Vector) -> tuple[Vector, Vector]:
    """Front and up of a rig about ``center`` (world, unit, orthogonal), from where its cameras stand and how they are held."""
    if not cameras:
        raise HeadcastError("camera path", "there is no camera to take the directions from")
    up = -np.mean([camera.world_to_camera[1, :3] for camera in cameras], axis=0)
    front = np.mean([camera.center - center for camera in cameras], axis=0)
    up = up / max(np.linalg.norm(up), 1e-12)
    front = front - up * (front @ up)
    if np.linalg.norm(front) < 1e-6:
        raise HeadcastError("camera path", "the cameras surround the head evenly", "choose a fixed camera")
    return front / np.linalg.norm(front), up


def look_at(serial: str, position: Vector, target: Vector, up: Vector, focal: float, size: int) -> Camera:
    """A square camera at ``position`` that sees ``target`` (m) in its middle, ``up`` upwards; ``focal`` in pixels."""
    forward = target - position
    right = np.cross(forward, up)
    if float(np.linalg.norm(right)) < 1e-9:
        raise HeadcastError(f"camera {serial}", "looks along its up direction or stands on its target")
    forward, right = forward / np.linalg.norm(forward), right / np.linalg.norm(right)
    rotation = np.stack([right, np.cross(forward, right), forward])
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation, -rotation @ position
    K = np.array([[focal, 0.0, size / 2.0], [0.0, focal, size / 2.0], [0.0, 0.0, 1.0]])
    return Camera(serial, K, pose, size, size)


def orbit_camera(
    center: Vector,
    distance: float,
    azimuth_deg: float,
    elevation_deg: float,
    size: int,
    front: Vector = FRONT,
    up: Vector = UP,
    field: float = ORBIT_FIELD,
) -> Camera:
    """A camera on a sphere of radius ``distance`` (m) about ``center``.

    Azimuth 0 is ``front``, positive towards the subject's left (the picture's right as the subject faces us); elevation is positive
    above. ``field`` is the width (m) seen at that distance.
    """
    azimuth, elevation = np.radians(azimuth_deg), np.radians(elevation_deg)
    level = np.cos(azimuth) * front + np.sin(azimuth) * np.cross(up, front)
    direction = np.cos(elevation) * level + np.sin(elevation) * up
    name = f"orbit{azimuth_deg:+.1f}{elevation_deg:+.1f}"
    return look_at(name, center + distance * direction, np.asarray(center, np.float64), up, distance / field * size, size)


def orbit(
    cameras: Sequence[Camera],
    center: Vector,
    frames: int,
    size: int,
    swing_deg: float = ORBIT_SWING_DEG,
    field: float = ORBIT_FIELD,
) -> list[Camera]:
    """One slow swing to both sides of the rig's front at the cameras' mean distance: ``frames`` cameras, a closed loop."""
    front, up = rig_axes(cameras, center)
    distance = float(np.mean([np.linalg.norm(camera.center - center) for camera in cameras]))
    phase = 2.0 * np.pi * np.arange(frames) / max(frames, 1)
    return [
        orbit_camera(center, distance, swing_deg * np.sin(p), ORBIT_LIFT_DEG * np.sin(2.0 * p), size, front, up, field)
        for p in phase
    ]


def camera_path(kind: str, cameras: Mapping[str, Camera], center: Vector, frames: int, size: int) -> list[Camera]:
    """One camera a frame: ``orbit``, ``fixed`` (the most frontal camera of the rig) or the serial of a camera, held still.

    ``HeadcastError`` names the allowed words when ``kind`` is none of them.
    """
    if kind == "orbit":
        return orbit(list(cameras.values()), center, frames, size)
    if kind == "fixed":
        return [at_size(most_frontal(cameras, center), size)] * frames
    if kind in cameras:
        return [at_size(cameras[kind], size)] * frames
    raise HeadcastError("reenactment.camera", f"{kind!r} is no camera path", f"allowed: orbit, fixed, {', '.join(sorted(cameras))}")


def most_frontal(cameras: Mapping[str, Camera], center: Vector) -> Camera:
    """The camera closest to the middle of the rig as seen from ``center``; of equals the first serial."""
    front, _ = rig_axes(list(cameras.values()), center)

    def deviation(serial: str) -> float:
        away = cameras[serial].center - center
        return -float(away @ front / np.linalg.norm(away))

    return cameras[min(sorted(cameras), key=deviation)]


def at_size(camera: Camera, size: int) -> Camera:
    """The camera at another resolution, its longer side ``size`` pixels."""
    scale = size / max(camera.width, camera.height)
    return replace(camera.resize(round(camera.width * scale), round(camera.height * scale)), serial=camera.serial)
