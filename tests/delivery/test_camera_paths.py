"""Camera paths: the head stays in the middle, upright, at the right size."""

from __future__ import annotations

import numpy as np
import pytest

from headcast.delivery.camera_paths import camera_path, look_at, most_frontal, orbit, orbit_camera, rig_axes
from headcast.errors import HeadcastError

CENTER = np.array([0.1, 1.5, -0.2])
UP = np.array([0.0, 0.0, 1.0])
FRONT = np.array([0.0, -1.0, 0.0])
RIG = {
    f"{azimuth:+d}": orbit_camera(CENTER, 1.2, azimuth, elevation, 64, FRONT, UP)
    for azimuth, elevation in ((-40, 10), (-20, -10), (0, 0), (20, 10), (40, -10))
}


@pytest.mark.parametrize(("azimuth", "elevation"), [(0, 0), (35, 10), (-120, -40), (180, 60)])
def test_an_orbiting_camera_sees_the_head_upright_in_the_middle(azimuth: float, elevation: float) -> None:
    camera = orbit_camera(CENTER, 1.5, azimuth, elevation, 200, FRONT, UP, field=0.4)
    assert np.allclose(camera.project(CENTER), 100.0)
    assert np.linalg.norm(camera.center - CENTER) == pytest.approx(1.5)
    above = camera.project(CENTER + 0.01 * UP)
    assert above[0] == pytest.approx(100.0)
    assert above[1] < 100.0


def test_the_field_is_as_wide_as_asked() -> None:
    camera = orbit_camera(CENTER, 1.5, 0, 0, 200, FRONT, UP, field=0.4)
    side = np.cross(UP, FRONT)
    assert np.allclose(camera.project(CENTER + 0.2 * side), (200.0, 100.0))


def test_positive_azimuth_is_the_subjects_left() -> None:
    """With +z in front and +y up the subject's left is +x."""
    assert orbit_camera(np.zeros(3), 1.0, 30, 0, 64).center[0] == pytest.approx(0.5)


def test_axes_are_read_from_the_rig() -> None:
    front, up = rig_axes(list(RIG.values()), CENTER)
    assert np.allclose(up, UP, atol=0.05)
    assert np.allclose(front, FRONT, atol=0.05)
    assert front @ up == pytest.approx(0.0, abs=1e-9)


def test_an_orbit_is_a_closed_loop_at_the_rigs_distance() -> None:
    path = orbit(list(RIG.values()), CENTER, 60, 64)
    centers = np.stack([camera.center for camera in path])
    assert np.allclose(np.linalg.norm(centers - CENTER, axis=1), 1.2)
    steps = np.linalg.norm(np.diff(np.vstack([centers, centers[:1]]), axis=0), axis=1)
    assert steps.max() < 0.12
    assert np.ptp(centers[:, 0]) > 1.0


def test_the_most_frontal_camera_is_found() -> None:
    assert most_frontal(RIG, CENTER) is RIG["+0"]


def test_paths_by_name() -> None:
    fixed = camera_path("fixed", RIG, CENTER, 3, 128)
    assert len(fixed) == 3
    assert (fixed[0].serial, fixed[0].width) == (RIG["+0"].serial, 128)
    held = camera_path("+40", RIG, CENTER, 2, 128)[1]
    assert np.allclose(held.project(CENTER), 2 * RIG["+40"].project(CENTER))
    assert len(camera_path("orbit", RIG, CENTER, 5, 128)) == 5
    with pytest.raises(HeadcastError, match="allowed: orbit, fixed"):
        camera_path("spiral", RIG, CENTER, 5, 128)


def test_impossible_cameras_are_errors() -> None:
    with pytest.raises(HeadcastError, match="up direction"):
        look_at("x", CENTER + UP, CENTER, UP, 100.0, 64)
    with pytest.raises(HeadcastError, match="no camera"):
        rig_axes([], CENTER)
