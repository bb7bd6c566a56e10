"""Ground truth carried into the crop: exact areas, geometry of the camera, doubled angles."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from headcast.capture.camera import Camera
from headcast.errors import CaptureError
from headcast.evaluation.truth_crop import depth_to_crop, inside_frame, orientation_to_crop, to_crop

RAW = Camera("7", np.array([[100.0, 0, 31.0], [0, 100, 22], [0, 0, 1]]), np.eye(4), 60, 44)


def random_plane(seed: int = 0) -> np.ndarray:
    return np.random.Generator(np.random.Philox(seed)).random((44, 60))


def test_an_integer_crop_copies_and_pads_with_zero() -> None:
    plane = random_plane()
    out = to_crop(plane, RAW, RAW.crop(-5, 4, 30, 30))
    assert np.allclose(out[:, 5:], plane[4:34, :25], atol=1e-12)
    assert (out[:, :5] == 0).all()
    assert inside_frame(RAW, RAW.crop(-5, 4, 30, 30))[:, 5:].all()
    assert not inside_frame(RAW, RAW.crop(-5, 4, 30, 30))[:, :5].any()


def test_halving_averages_blocks() -> None:
    plane = random_plane()
    assert np.allclose(to_crop(plane, RAW, RAW.resize(30, 22)), plane.reshape(22, 2, 30, 2).mean(axis=(1, 3)))


def test_the_mean_survives_any_reduction() -> None:
    plane = random_plane()
    assert to_crop(plane, RAW, RAW.resize(17, 13)).mean() == pytest.approx(plane.mean(), abs=1e-12)


@pytest.mark.parametrize("side", [19, 40, 90])
def test_a_blob_lands_where_the_camera_projects_it(side: int) -> None:
    j, i = np.mgrid[:44, :60] + 0.5
    blob = np.exp(-((i - 33.0) ** 2 + (j - 20.0) ** 2) / 18.0)
    camera = RAW.crop(11, 2, 40, 40).resize(side, side)
    out = to_crop(blob, RAW, camera)
    y, x = np.mgrid[:side, :side] + 0.5
    centre = np.array([(out * x).sum(), (out * y).sum()]) / out.sum()
    point = np.array([(33.0 - 31) / 100, (20.0 - 22) / 100, 1.0])
    assert np.allclose(centre, camera.project(point), atol=0.02 * side / 40)


def test_colour_planes_go_channel_by_channel() -> None:
    planes = np.stack([random_plane(0), random_plane(1)], axis=-1)
    camera = RAW.crop(3, 3, 33, 33).resize(20, 20)
    assert np.allclose(to_crop(planes, RAW, camera)[..., 1], to_crop(planes[..., 1], RAW, camera))


def test_angles_average_across_the_wrap() -> None:
    angle = np.where(np.arange(60) % 2, np.radians(179.0), np.radians(1.0))[None].repeat(44, axis=0)
    ones = np.ones((44, 60))
    out, confidence = orientation_to_crop(angle, ones, RAW, RAW.resize(30, 22))
    assert np.allclose(np.minimum(out, np.pi - out), 0.0, atol=1e-9)
    assert np.allclose(confidence, np.cos(np.radians(2.0)), atol=1e-9)


def test_crossing_strands_lose_confidence_and_bald_pixels_have_no_angle() -> None:
    angle = np.where(np.arange(60) % 2, 0.0, np.pi / 2)[None].repeat(44, axis=0)
    hair = np.ones((44, 60))
    hair[:20] = 0.0
    out, confidence = orientation_to_crop(angle, np.ones_like(hair), RAW, RAW.resize(30, 22), hair)
    assert np.isnan(out[:10]).all()
    assert (confidence[:10] == 0).all()
    assert np.allclose(confidence[10:], 0.0, atol=1e-9)


def test_depth_is_picked_never_averaged() -> None:
    depth = np.where(np.arange(60) < 30, 1.0, 2.0)[None].repeat(44, axis=0)
    out = depth_to_crop(depth, RAW, RAW.crop(-4, 0, 64, 44).resize(48, 33))
    assert set(np.unique(out[np.isfinite(out)])) == {1.0, 2.0}
    assert np.isnan(out[:, :3]).all()
    assert np.isfinite(out[:, 3:]).all()


def test_what_is_no_crop_is_an_error() -> None:
    moved = np.eye(4)
    moved[0, 3] = 0.1
    with pytest.raises(CaptureError, match=r"camera 7.*different places"):
        to_crop(random_plane(), RAW, replace(RAW, world_to_camera=moved))
    with pytest.raises(CaptureError, match="ground truth is 20×10"):
        to_crop(np.zeros((10, 20)), RAW, RAW)
