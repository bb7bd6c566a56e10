"""Landmarks: the 478 → 68 table, robust triangulation and the consensus of views."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from headcast.errors import CaptureError
from headcast.imaging.facemesh_table import MIRROR, TABLE, table_matrix
from headcast.imaging.landmarks import (
    Landmarks,
    consensus,
    detect_mediapipe,
    eye_distances,
    ibug_from_dense,
    projections,
    reproject,
    triangulate,
)
from tests.fitting.ring import ring, seen

CAMERAS = ring(np.zeros(3))
IBUG_MIRROR = [*range(16, -1, -1), *range(26, 16, -1), 27, 28, 29, 30, 35, 34, 33, 32, 31, 45, 44, 43, 42, 47, 46]


def cloud(count: int, seed: int = 1) -> np.ndarray:
    """Points of a face-like patch, one frame; 36 and 45 are 9 cm apart."""
    points = np.random.default_rng(seed).uniform([-0.06, -0.08, 0.0], [0.06, 0.08, 0.05], (1, count, 3))
    points[0, [36, 45]] = [[-0.045, 0.03, 0.03], [0.045, 0.03, 0.03]]
    return points


def test_table_rows_are_convex_and_mirrored() -> None:
    matrix = table_matrix()
    assert matrix.shape == (68, 478) and (matrix >= 0).all()
    np.testing.assert_allclose(matrix.sum(axis=1), 1.0)
    both = MIRROR | {left: right for right, left in MIRROR.items()}
    for right, left in list(enumerate(IBUG_MIRROR))[:36]:
        if all(point in both for point, _ in TABLE[right]):
            assert {(both[point], weight) for point, weight in TABLE[right]} == set(TABLE[left])


def test_a_gap_in_the_dense_points_is_a_gap_only_where_it_is_used() -> None:
    dense = np.random.default_rng(0).uniform(0, 100, (2, 478, 2))
    whole = ibug_from_dense(dense)
    dense[0, 4] = np.nan
    gappy = ibug_from_dense(dense)
    assert np.isnan(gappy[0, 30]).all() and np.isfinite(np.delete(gappy[0], 30, axis=0)).all()
    np.testing.assert_allclose(gappy[1], whole[1])


def test_triangulation_recovers_points_despite_a_wild_view() -> None:
    points, matrices = cloud(68)[0], projections(list(CAMERAS.values()))
    pixels = reproject(points, matrices)
    pixels[1] += 60.0
    world, miss = triangulate(pixels, matrices, 130.0)
    np.testing.assert_allclose(world, points, atol=2e-4)
    assert (miss[1] > 50).all() and np.delete(miss, 1, axis=0).max() < 0.5


def test_points_seen_by_one_view_are_not_triangulated() -> None:
    matrices = projections(list(CAMERAS.values()))
    pixels = reproject(cloud(68)[0], matrices)
    pixels[1:, 5] = np.nan
    world, miss = triangulate(pixels, matrices, 130.0)
    assert np.isnan(world[5]).all() and np.isnan(miss[:, 5]).all() and np.isfinite(np.delete(world, 5, axis=0)).all()


def test_consensus_lowers_noise_and_drops_outliers_without_inventing() -> None:
    points, dense = cloud(68), cloud(478, seed=2)
    truth, noisy = seen(points, dense, CAMERAS), seen(points, dense, CAMERAS, noise_px=1.0)
    noisy.points[0, 2, 40] += 40.0
    noisy.points[0, 3], noisy.dense[0, 3] = np.nan, np.nan
    agreed = consensus(noisy, CAMERAS)
    assert np.isnan(agreed.points[0, 2, 40]).all() and agreed.confidence[0, 2, 40] == 0
    assert np.isnan(agreed.points[0, 3]).all() and np.isnan(agreed.dense[0, 3]).all()
    error = [
        np.nanmean(np.linalg.norm(found.points[:, [0, 1, 4]] - truth.points[:, [0, 1, 4]], axis=-1)) for found in (noisy, agreed)
    ]
    assert error[1] < 0.8 * error[0]
    assert agreed.confidence[0, 0].mean() > 0.9


def test_a_face_elsewhere_in_one_view_is_dropped_whole() -> None:
    found = seen(cloud(68), cloud(478, seed=2), CAMERAS)
    found.points[0, 4] += np.array([90.0, -70.0])
    agreed = consensus(found, CAMERAS)
    assert np.isnan(agreed.points[0, 4]).all() and np.isnan(agreed.dense[0, 4]).all() and (agreed.confidence[0, 4] == 0).all()
    assert np.isfinite(agreed.points[0, :4]).all()


def test_one_camera_keeps_its_points_with_low_confidence() -> None:
    camera = dict(list(CAMERAS.items())[:1])
    found = seen(cloud(68), cloud(478, seed=2), camera)
    agreed = consensus(found, camera)
    np.testing.assert_array_equal(agreed.points, found.points)
    assert 0 < agreed.confidence.max() < 0.5


def test_frames_without_a_face_stay_empty() -> None:
    found = seen(np.tile(cloud(68), (2, 1, 1)), np.tile(cloud(478, seed=2), (2, 1, 1)), CAMERAS)
    found.points[1], found.dense[1], found.confidence[1] = np.nan, np.nan, 0.0
    agreed = consensus(found, CAMERAS)
    assert np.isnan(agreed.points[1]).all() and np.isnan(eye_distances(agreed.points)[1])
    assert np.isfinite(agreed.points[0]).all()


def test_shapes_are_checked() -> None:
    found = seen(cloud(68), cloud(478, seed=2), CAMERAS)
    with pytest.raises(CaptureError, match="confidence"):
        replace(found, confidence=np.ones((1, 2, 68)))
    assert isinstance(found, Landmarks)


def test_no_face_gives_nan() -> None:
    pytest.importorskip("mediapipe")
    points, score = detect_mediapipe(np.full((96, 64, 3), 128, np.uint8))
    assert points.shape == (478, 2) and np.isnan(points).all() and score == 0.0
