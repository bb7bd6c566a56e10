"""Cameras: crop and resize commute with projection; implausible ones are refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from headcast.capture.calibration import check_calibration, focus
from headcast.capture.camera import Camera
from headcast.errors import CaptureError

POINTS = np.random.default_rng(0).normal(0, 0.1, (50, 3))


def camera(seed: int = 0, serial: str = "1") -> Camera:
    """A camera one metre away that looks at the origin."""
    rng = np.random.default_rng(seed)
    rotation = Rotation.random(random_state=rng.integers(1 << 30)).as_matrix()
    extrinsics = np.eye(4)
    extrinsics[:3, :3], extrinsics[:3, 3] = rotation, [0, 0, 1.0]
    return Camera(serial, np.array([[900.0, 0, 210], [0, 890, 330], [0, 0, 1]]), extrinsics, 440, 642)


@given(st.integers(0, 99), st.integers(-200, 200), st.integers(-200, 200), st.integers(1, 900), st.integers(1, 900))
def test_crop_then_project_is_project_then_shift(seed: int, left: int, top: int, width: int, height: int) -> None:
    view = camera(seed)
    np.testing.assert_allclose(view.crop(left, top, width, height).project(POINTS), view.project(POINTS) - [left, top], atol=1e-9)


@given(st.integers(0, 99), st.integers(16, 2048), st.integers(16, 2048))
def test_resize_then_project_is_project_then_scale(seed: int, width: int, height: int) -> None:
    view = camera(seed)
    np.testing.assert_allclose(
        view.resize(width, height).project(POINTS), view.project(POINTS) * [width / 440, height / 642], atol=1e-9
    )


@given(st.integers(0, 99))
def test_the_inverse_undoes_the_transform_and_holds_the_centre(seed: int) -> None:
    view = camera(seed)
    np.testing.assert_allclose(view.camera_to_world @ view.world_to_camera, np.eye(4), atol=1e-12)
    np.testing.assert_allclose(view.world_to_camera[:3, :3] @ view.center + view.world_to_camera[:3, 3], 0, atol=1e-12)


def test_points_behind_the_camera_are_nan() -> None:
    view = camera()
    behind = view.center - 0.5 * view.viewing_direction
    assert np.isnan(view.project(behind[None])).all()


@pytest.mark.parametrize("change", ["scale", "mirror", "nan", "row", "focal"])
def test_an_implausible_camera_names_its_serial(change: str) -> None:
    good = camera()
    K, extrinsics = good.K.copy(), good.world_to_camera.copy()
    if change == "scale":
        extrinsics[:3, :3] *= 1.1
    elif change == "mirror":
        extrinsics[0] *= -1
    elif change == "nan":
        extrinsics[0, 3] = np.nan
    elif change == "row":
        extrinsics[3, 0] = 1
    else:
        K[0, 0] = -1
    with pytest.raises(CaptureError, match="camera 42"):
        Camera("42", K, extrinsics, 440, 642)


def test_the_focus_is_where_the_cameras_look() -> None:
    np.testing.assert_allclose(focus([camera(seed) for seed in range(6)]), 0, atol=1e-9)


def test_camera_to_world_given_for_world_to_camera_is_recognised() -> None:
    cameras = [camera(seed, str(seed)) for seed in range(8)]
    check_calibration(cameras, "calibration.json")
    swapped = [Camera(c.serial, c.K, c.camera_to_world, c.width, c.height) for c in cameras]
    with pytest.raises(CaptureError, match="camera-to-world"):
        check_calibration(swapped, "calibration.json")


def test_millimetres_are_recognised_as_too_far() -> None:
    cameras = []
    for seed in range(6):
        extrinsics = camera(seed).world_to_camera.copy()
        extrinsics[:3, 3] *= 1000
        cameras.append(Camera(str(seed), camera().K, extrinsics, 440, 642))
    with pytest.raises(CaptureError, match="units"):
        check_calibration(cameras, "calibration.json")
