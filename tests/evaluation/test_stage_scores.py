"""Stage scores on cases whose answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from headcast.capture.camera import Camera
from headcast.evaluation.stage_scores import (
    band,
    faces_in_sight,
    frontal_eye_distance_px,
    orientation_errors_deg,
    score_labels,
    score_landmarks,
    score_matting,
    score_orientation,
    score_reprojection,
    view_yaw_deg,
)

VISIBLE = np.ones((40, 40), bool)
EYE_DISTANCE = 0.09


def camera(yaw_deg: float = 0.0, distance: float = 1.0) -> Camera:
    """A camera ``distance`` from the origin, ``yaw_deg`` towards the subject's left (+x), looking at the origin."""
    yaw = np.radians(yaw_deg)
    centre = distance * np.array([np.sin(yaw), 0.0, np.cos(yaw)])
    z, y = -centre / distance, np.array([0.0, -1.0, 0.0])
    rotation = np.stack([np.cross(y, z), y, z])
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation, -rotation @ centre
    return Camera(f"{yaw_deg:g}", np.array([[1000.0, 0, 200], [0, 1000, 200], [0, 0, 1]]), pose, 400, 400)


def face() -> np.ndarray:
    """68 points on a bent sheet: jaw behind, eyes 9 cm apart, nose bridge in front."""
    random = np.random.Generator(np.random.Philox(4))
    points = random.uniform(-0.04, 0.04, (68, 3)) * (1, 1, 0.2) + (0, 0, 0.05)
    points[0], points[16], points[27] = (-0.07, 0, -0.05), (0.07, 0, -0.05), (0, 0.01, 0.07)
    points[36], points[45] = (-EYE_DISTANCE / 2, 0.02, 0.0), (EYE_DISTANCE / 2, 0.02, 0.0)
    return points


def disc(radius: float) -> np.ndarray:
    j, i = np.mgrid[:40, :40] + 0.5
    return np.clip(radius + 0.5 - np.hypot(i - 20, j - 20), 0, 1)


def test_matting_errors_have_their_closed_form() -> None:
    truth = disc(12)
    scores = score_matting([(np.clip(truth + 0.1, 0, 2), truth, VISIBLE), (truth, truth, VISIBLE)])
    assert scores["mean_abs_error"] == pytest.approx(0.05)
    assert scores["band_error"] == pytest.approx(0.05)


def test_the_band_is_the_soft_edge_and_two_pixels_more() -> None:
    truth = np.zeros((40, 40))
    truth[:, 20], truth[:, 21:] = 0.5, 1.0
    assert band(truth).any(axis=0).nonzero()[0].tolist() == [18, 19, 20, 21, 22]


def test_an_error_in_the_band_only_is_larger_there() -> None:
    truth = disc(12)
    scores = score_matting([((truth > 0.5).astype(float), truth, VISIBLE)])
    assert scores["band_error"] > 3 * scores["mean_abs_error"] > 0


def test_pixels_outside_the_frame_do_not_count() -> None:
    visible = VISIBLE.copy()
    visible[:, 30:] = False
    wrong = disc(12)
    wrong[:, 30:] = 1.0
    assert score_matting([(wrong, disc(12), visible)])["mean_abs_error"] == 0.0
    assert score_labels([(wrong, disc(12), disc(5), disc(5), visible)])["hair_iou"] == 1.0
    assert math.isnan(score_matting([])["mean_abs_error"])


def test_labels_report_mean_and_worst_view() -> None:
    half = disc(12) * (np.arange(40) < 20)
    scores = score_labels([(disc(12), disc(12), disc(5), disc(5), VISIBLE), (half, disc(12), 0 * half, 0 * half, VISIBLE)])
    assert scores["hair_iou"] == pytest.approx(0.75)
    assert scores["hair_iou_worst_view"] == pytest.approx(0.5)
    assert scores["face_iou"] == 1.0 == scores["face_iou_worst_view"]


def test_orientation_errors_wrap_and_count_certain_hair_alone() -> None:
    truth, angle = np.full((40, 40), np.radians(179.0)), np.full((40, 40), np.radians(4.0))
    confidence, hair = np.full((40, 40), 0.9), np.where(np.arange(40) < 20, 1.0, 0.5)[None].repeat(40, axis=0)
    confidence[:10] = 0.5
    angle[10:15] = np.nan
    errors = orientation_errors_deg(angle, truth, confidence, hair, VISIBLE)
    scores = score_orientation([errors])
    assert len(errors) == 30 * 20
    assert scores["median_deg"] == pytest.approx(5.0) == scores["p90_deg"]
    assert scores["coverage"] == pytest.approx(25 / 30)
    assert math.isnan(score_orientation([])["median_deg"])


def test_random_angles_score_as_chance() -> None:
    random = np.random.Generator(np.random.Philox(1)).uniform(0, np.pi, (2, 200, 200))
    ones = np.ones((200, 200))
    scores = score_orientation([orientation_errors_deg(random[0], random[1], ones, ones, ones > 0)])
    assert scores["median_deg"] == pytest.approx(45.0, abs=1.0)
    assert scores["p90_deg"] == pytest.approx(81.0, abs=1.0)


@pytest.mark.parametrize("yaw", [-75.0, -30.0, 0.0, 45.0, 120.0])
def test_yaw_is_the_angle_between_face_and_camera(yaw: float) -> None:
    assert view_yaw_deg(face(), camera(yaw)) == pytest.approx(yaw, abs=8.0 if abs(yaw) > 60 else 5.0)
    assert np.sign(view_yaw_deg(face(), camera(yaw))) == np.sign(yaw) or yaw == 0.0


def test_the_eye_distance_does_not_shrink_in_profile() -> None:
    for yaw in (0.0, 50.0):
        assert frontal_eye_distance_px(face(), camera(yaw)) == pytest.approx(1000.0 * EYE_DISTANCE, rel=0.01)
    assert frontal_eye_distance_px(face(), camera(0.0, 2.0)) == pytest.approx(500.0 * EYE_DISTANCE, rel=0.01)


def test_only_views_from_the_front_see_the_face() -> None:
    assert faces_in_sight(face()[None], [camera(0.0), camera(40.0), camera(90.0), camera(180.0)]).tolist() == [
        [True, True, False, False]
    ]


def test_landmark_scores_are_exact_for_known_offsets() -> None:
    cameras, points_3d = [camera(-20.0), camera(10.0), camera(90.0)], face()[None].repeat(2, axis=0)
    truth = np.stack([[c.project(frame) for c in cameras] for frame in points_3d])
    found = truth.copy()
    found[..., 17:, 0] += 0.02 * 1000.0 * EYE_DISTANCE
    found[..., :17, 1] += 0.05 * 1000.0 * EYE_DISTANCE
    scores = score_landmarks(found, points_3d, cameras)
    assert scores["nme_percent"] == pytest.approx(2.0, rel=0.02)
    assert scores["jaw_nme_percent"] == pytest.approx(5.0, rel=0.02)
    assert scores["recall"] == 1.0
    assert scores["wild"] == 0


def test_lost_and_wild_landmarks_are_counted_not_hidden() -> None:
    cameras, points_3d = [camera(-20.0), camera(10.0)], face()[None].repeat(2, axis=0)
    found = np.stack([[c.project(frame) for c in cameras] for frame in points_3d])
    found[0, 0] = np.nan
    found[1, 1, 30] += 50.0
    found[1, 0, 40] = np.nan
    scores = score_landmarks(found, points_3d, cameras)
    assert scores["recall"] == 0.75
    assert scores["wild"] == 1


def test_reprojection_is_in_per_cent_of_the_image_side() -> None:
    cameras, points_3d = [camera(-20.0), camera(10.0)], face()[None]
    points = np.stack([[c.project(frame) for c in cameras] for frame in points_3d]) + np.array([3.0, 4.0])
    points[0, 0, :5] = np.nan
    assert score_reprojection(points_3d, points, cameras) == pytest.approx(100 * 5.0 / 400)
    assert math.isnan(score_reprojection(points_3d, np.full_like(points, np.nan), cameras))
