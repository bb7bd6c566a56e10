"""A ring of cameras around a head at the origin, and landmarks seen by them."""

from __future__ import annotations

import numpy as np

from headcast.capture.camera import Camera
from headcast.imaging.landmarks import Landmarks, projections, reproject


def looking_at(centre: np.ndarray, azimuth_deg: float, elevation_deg: float, serial: str, distance: float = 1.0) -> Camera:
    """A camera of 512² pixels that looks at ``centre`` from the front (+z) turned by azimuth and elevation."""
    a, e = np.radians([azimuth_deg, elevation_deg])
    backwards = np.array([np.sin(a) * np.cos(e), np.sin(e), np.cos(a) * np.cos(e)])
    right = np.cross(-backwards, [0.0, 1.0, 0.0])
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(-backwards, right), -backwards])
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation, -rotation @ (centre + distance * backwards)
    return Camera(serial, np.array([[1500.0, 0, 256], [0, 1500.0, 256], [0, 0, 1]]), pose, 512, 512)


def ring(centre: np.ndarray, azimuths: tuple[float, ...] = (-45, -25, 0, 25, 45)) -> dict[str, Camera]:
    """Cameras at alternating elevations, by serial."""
    return {f"c{i}": looking_at(centre, a, 12.0 * (-1) ** i, f"c{i}") for i, a in enumerate(azimuths)}


def seen(points: np.ndarray, dense: np.ndarray, cameras: dict[str, Camera], noise_px: float = 0.0, seed: int = 0) -> Landmarks:
    """Landmarks of world points F 68 3 and F 478 3 with Gaussian pixel noise."""
    rng, matrices = np.random.default_rng(seed), projections(list(cameras.values()))
    pixels, dense_pixels = (np.stack([reproject(frame, matrices) for frame in set_]) for set_ in (points, dense))
    noisy = [p + rng.normal(0, noise_px, p.shape) for p in (pixels, dense_pixels)]
    return Landmarks(tuple(cameras), noisy[0], np.ones(pixels.shape[:3]), noisy[1])
