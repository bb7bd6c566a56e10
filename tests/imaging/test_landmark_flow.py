"""Flow between frames and tracks that obey both detections and flow."""

from __future__ import annotations

import cv2
import numpy as np

from headcast.imaging.landmark_flow import UNSTEADY, face_size, motion, steady, view_motion


def texture(shift: tuple[float, float] = (0.0, 0.0), seed: int = 0) -> np.ndarray:
    """A smooth random picture, moved by ``shift`` (x right, y down; px)."""
    noise = np.random.default_rng(seed).uniform(0, 255, (160, 160, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3.0)
    smooth = (smooth - smooth.min()) / np.ptp(smooth) * 255
    moved = cv2.warpAffine(smooth, np.float32([[1, 0, shift[0]], [0, 1, shift[1]]]), (160, 160), flags=cv2.INTER_CUBIC)
    return np.clip(moved, 0, 255).astype(np.uint8)


def test_motion_finds_a_shift_below_a_tenth_of_a_pixel() -> None:
    points = np.random.default_rng(1).uniform(50, 110, (30, 2))
    moved = motion(texture(), texture((3.3, -2.6)), points, points + np.array([3.0, -2.0]), 110.0)
    assert np.isfinite(moved).all()
    np.testing.assert_allclose(moved, np.tile([3.3, -2.6], (30, 1)), atol=0.1)


def test_motion_of_another_picture_is_unknown() -> None:
    points = np.random.default_rng(1).uniform(50, 110, (40, 2))
    assert np.isnan(motion(texture(), texture(seed=7), points, points, 110.0)).any(axis=1).mean() > 0.6


def test_view_motion_leaves_lids_and_missing_faces_alone() -> None:
    points = np.random.default_rng(2).uniform(50, 110, (478, 2))
    points[[33, 263]] = [[50, 80], [110, 80]]
    moved = view_motion(texture(), texture((1.0, 0.0)), points, points)
    assert np.isnan(moved[list(UNSTEADY)]).all() and np.isfinite(moved).any()
    assert np.isnan(view_motion(texture(), texture(), points, points * np.nan)).all()


def test_face_size_does_not_shrink_with_the_yaw() -> None:
    points = np.zeros((478, 2))
    points[[33, 263, 168, 152]] = [[-44, 0], [44, 0], [0, 0], [0, 114]]
    front, side = face_size(points), face_size(points * [0.4, 1.0])
    assert abs(front - 88) < 1 and abs(side - front) < 2


def test_tracks_lose_detection_noise_and_keep_true_motion() -> None:
    rng, time = np.random.default_rng(3), np.arange(12)
    truth = 50 + 5 * np.stack([np.sin(time), np.cos(0.7 * time)], axis=1)[:, None] + rng.uniform(0, 30, (1, 20, 2))
    detected = truth + rng.normal(0, 1.0, truth.shape)
    tracks = steady(detected, np.diff(truth, axis=0) + rng.normal(0, 0.03, (11, 20, 2)))
    steps = [np.diff(p - truth, axis=0).std() for p in (detected, tracks)]
    assert steps[1] < 0.2 * steps[0] and np.abs(tracks - truth).mean() < 0.5 * np.abs(detected - truth).mean()


def test_without_flow_and_without_detection_nothing_changes() -> None:
    detected = np.random.default_rng(4).uniform(0, 100, (5, 3, 2))
    detected[2, 1] = np.nan
    np.testing.assert_array_equal(steady(detected, np.full((4, 3, 2), np.nan)), detected)
    tracks = steady(detected, np.zeros((4, 3, 2)))
    assert np.isnan(tracks[2, 1]).all() and np.isfinite(np.delete(tracks[:, 1], 2, axis=0)).all()
