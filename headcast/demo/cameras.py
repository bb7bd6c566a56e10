"""The rig of the demo capture: 16 cameras in rows of 5, 6 and 5, a metre from the head."""

from __future__ import annotations

import numpy as np

from headcast.capture.camera import Camera

WIDTH, HEIGHT = 440, 642
FOCAL_PX = 1531.0
PRINCIPAL_PX = (WIDTH / 2 + 3.2, HEIGHT / 2 - 4.7)
TARGET = (0.0, -0.012, 0.0)
SEED = 258
# elevation of the row (degrees, positive: above), then (serial, azimuth in degrees) towards the subject's left
ROWS: tuple[tuple[float, tuple[tuple[str, float], ...]], ...] = (
    (16.0, (("222200046", -46.5), ("222200040", -23.3), ("222200036", 0.0), ("222200048", 23.3), ("220700191", 46.5))),
    (
        0.0,
        (
            ("222200042", -46.5),
            ("222200044", -26.0),
            ("222200037", 0.0),
            ("222200041", 14.0),
            ("222200038", 29.0),
            ("222200047", 46.5),
        ),
    ),
    (-16.0, (("222200043", -46.5), ("222200049", -23.3), ("222200039", 0.0), ("222200045", 23.3), ("221501007", 46.5))),
)


def rig() -> dict[str, Camera]:
    """The cameras by serial, sorted; every one displaced and turned by a few per cent, so that nothing is symmetric."""
    rng = np.random.default_rng(SEED)
    cameras = {serial: _camera(serial, azimuth, row, rng) for row, members in ROWS for serial, azimuth in members}
    return {serial: cameras[serial] for serial in sorted(cameras)}


def _camera(serial: str, azimuth_deg: float, elevation_deg: float, rng: np.random.Generator) -> Camera:
    azimuth, elevation = np.deg2rad([azimuth_deg + rng.uniform(-1.5, 1.5), elevation_deg + rng.uniform(-1.2, 1.2)])
    distance = 1.0 + rng.uniform(-0.035, 0.035)
    direction = np.array([np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)])
    centre = np.array(TARGET) + distance * direction
    rotation = _looking(centre, np.array(TARGET) + rng.uniform(-0.006, 0.006, 3), np.deg2rad(rng.uniform(-1.5, 1.5)))
    world_to_camera = np.eye(4)
    world_to_camera[:3, :3], world_to_camera[:3, 3] = rotation, -rotation @ centre
    K = np.array([[FOCAL_PX, 0, PRINCIPAL_PX[0]], [0, FOCAL_PX, PRINCIPAL_PX[1]], [0, 0, 1]])
    return Camera(serial, K, world_to_camera, WIDTH, HEIGHT)


def _looking(centre: np.ndarray, at: np.ndarray, roll: float) -> np.ndarray:
    """World-to-camera rotation that looks from ``centre`` at ``at`` with the world's up upwards, turned by ``roll`` (rad)."""
    z = (at - centre) / np.linalg.norm(at - centre)
    x = np.cross(z, [0.0, 1.0, 0.0])
    x /= np.linalg.norm(x)
    y = np.cross(z, x)
    return np.stack([np.cos(roll) * x + np.sin(roll) * y, -np.sin(roll) * x + np.cos(roll) * y, z])


def placement(camera: Camera) -> dict[str, float]:
    """Azimuth and elevation (degrees) and distance (m) of a camera about the rig's target."""
    offset = camera.center - np.array(TARGET)
    distance = float(np.linalg.norm(offset))
    azimuth = float(np.rad2deg(np.arctan2(offset[0], offset[2])))
    return {
        "azimuth_deg": round(azimuth, 4),
        "elevation_deg": round(float(np.rad2deg(np.arcsin(offset[1] / distance))), 4),
        "distance_m": round(distance, 5),
    }
