"""The hull of a sphere seen by cameras around it contains the sphere and little more."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from headcast.capture.camera import Camera
from headcast.errors import HeadcastError
from headcast.geometry.hull import carve, carve_views, sample_matte

RADIUS, SIZE = 0.1, 64


def camera_at(angle: float, tilt: float) -> Camera:
    """A camera 1 m from the origin that looks at it."""
    back = np.array([np.sin(angle) * np.cos(tilt), np.sin(tilt), np.cos(angle) * np.cos(tilt)])
    right = np.cross([0, -1, 0], -back) / np.linalg.norm(np.cross([0, -1, 0], -back))
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(-back, right), -back])
    pose[:3, 3] = [0, 0, 1]
    focal = 2.4 * SIZE
    return Camera(f"{angle:.2f}{tilt:.2f}", np.array([[focal, 0, SIZE / 2], [0, focal, SIZE / 2], [0, 0, 1]]), pose, SIZE, SIZE)


def sphere_matte(camera: Camera) -> np.ndarray:
    """Pixels whose rays meet the sphere: the ray's distance from the origin is below the radius."""
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    rays = np.stack([(x - SIZE / 2) / camera.K[0, 0], (y - SIZE / 2) / camera.K[1, 1], np.ones_like(x)], axis=-1)
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    return (np.sqrt(1 - rays[..., 2] ** 2) < RADIUS).astype(np.float32)


@pytest.fixture(scope="module")
def cameras() -> dict[str, Camera]:
    views = [camera_at(angle, tilt) for angle in np.linspace(0, 2 * np.pi, 9)[:-1] for tilt in (-0.6, 0.1, 0.7)]
    return {camera.serial: camera for camera in views}


def test_hull_of_a_sphere(cameras: dict[str, Camera]) -> None:
    mattes = {serial: sphere_matte(camera) for serial, camera in cameras.items()}
    points = np.random.default_rng(0).uniform(-0.15, 0.15, (4000, 3))
    share, distance = carve(points, mattes, cameras), np.linalg.norm(points, axis=1)
    assert (share[distance < RADIUS - 0.005] == 1).all()
    assert (share[distance > 1.25 * RADIUS] < 1).all()
    assert ((share >= 0) & (share <= 1)).all()


def test_stacked_views_agree(cameras: dict[str, Camera]) -> None:
    mattes = {serial: sphere_matte(camera) for serial, camera in cameras.items()}
    points = np.random.default_rng(1).uniform(-0.15, 0.15, (500, 3))
    stacked = [torch.from_numpy(np.stack([getattr(cameras[s], name) for s in sorted(mattes)])) for name in ("K", "world_to_camera")]
    pixels = torch.from_numpy(np.stack([mattes[s] for s in sorted(mattes)]) * 255).to(torch.uint8)
    share = carve_views(torch.from_numpy(points), pixels, *stacked)
    np.testing.assert_allclose(share, carve(points, mattes, cameras), atol=1e-12)


def test_points_that_no_camera_sees_are_unknown(cameras: dict[str, Camera]) -> None:
    camera = next(iter(cameras.values()))
    behind = camera.center - 0.5 * camera.viewing_direction
    aside = np.array([5.0, 5.0, 5.0])
    share = carve(np.stack([behind, aside]), {camera.serial: sphere_matte(camera)}, cameras)
    assert np.isnan(share).all()


def test_samples_are_bilinear_between_pixel_centres() -> None:
    matte = torch.tensor([[0, 255], [0, 255]], dtype=torch.uint8)
    pixels = torch.tensor([[0.5, 0.5], [1.5, 0.5], [1.0, 1.0], [0.1, 0.1], [-0.1, 0.5]])
    torch.testing.assert_close(sample_matte(matte, pixels), torch.tensor([0, 1, 0.5, 0, torch.nan]), equal_nan=True)


def test_size_mismatch_is_named(cameras: dict[str, Camera]) -> None:
    serial = next(iter(cameras))
    with pytest.raises(HeadcastError, match=serial):
        carve(np.zeros((1, 3)), {serial: np.zeros((3, 3))}, cameras)
