"""Surface distance and jitter on meshes whose answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import trimesh

from headcast.capture.camera import Camera
from headcast.evaluation.surface_scores import (
    FaceView,
    expression_correlation,
    face_vertices,
    jitter_mm,
    rigid_transform,
    score_surface,
    surface_distances,
    thinned,
    transform_points,
)
from headcast.geometry.rotations import axis_angle_to_matrix


def pose(axis_angle: tuple[float, float, float], translation: tuple[float, float, float]) -> np.ndarray:
    out = np.eye(4)
    out[:3, :3] = axis_angle_to_matrix(torch.tensor(axis_angle, dtype=torch.float64)).numpy()
    out[:3, 3] = translation
    return out


@pytest.fixture
def bump() -> tuple[np.ndarray, np.ndarray]:
    """A height field without symmetry, 16 cm wide, facing +z (vertices, triangles)."""
    side = 33
    x, y = np.meshgrid(np.linspace(-0.08, 0.08, side), np.linspace(-0.08, 0.08, side))
    z = 0.05 - 6 * (x**2 + 0.6 * y**2) + 0.008 * np.sin(60 * x) * np.cos(45 * y) + 0.03 * np.exp(-((x - 0.01) ** 2 + y**2) / 4e-4)
    k = np.arange(side * side).reshape(side, side)
    quads = np.stack([k[:-1, :-1], k[:-1, 1:], k[1:, 1:], k[1:, :-1]], axis=-1).reshape(-1, 4)
    return np.stack([x, y, z], axis=-1).reshape(-1, 3), np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])


def test_a_known_motion_is_found_and_a_mirror_image_is_not_taken() -> None:
    points = np.random.Generator(np.random.Philox(0)).normal(size=(50, 3))
    motion = pose((0.3, -0.8, 0.2), (0.1, 2.0, -3.0))
    assert np.allclose(rigid_transform(points, transform_points(motion, points)), motion, atol=1e-9)
    mirrored = rigid_transform(points, points * (-1, 1, 1))
    assert np.linalg.det(mirrored[:3, :3]) == pytest.approx(1.0)


def test_a_moved_copy_has_no_surface_error(bump: tuple[np.ndarray, np.ndarray]) -> None:
    vertices, faces = bump
    points = vertices[thinned(vertices, 0.006)]
    moved = transform_points(pose((0.02, -0.03, 0.01), (0.002, 0.001, -0.003)), vertices)
    assert np.percentile(surface_distances(points, moved, faces)[0], 99) < 2e-4
    scores = score_surface([(points, vertices)], faces)
    assert scores["surface_p90_mm"] < 1e-3


def test_scale_is_not_aligned_away(bump: tuple[np.ndarray, np.ndarray]) -> None:
    vertices, faces = bump
    points = vertices[thinned(vertices, 0.006)]
    scores = score_surface([(points, vertices * 1.1)], faces)
    assert scores["surface_p90_mm"] > scores["surface_median_mm"] > 0.3


def test_a_sphere_in_a_larger_sphere_is_off_by_the_difference_of_radii() -> None:
    sphere = trimesh.creation.icosphere(subdivisions=4, radius=0.1)
    inner = sphere.vertices * 0.95
    assert score_surface([(inner, sphere.vertices)], sphere.faces)["surface_median_mm"] == pytest.approx(5.0, abs=0.1)


def test_no_face_gives_no_figure(bump: tuple[np.ndarray, np.ndarray]) -> None:
    _, faces = bump
    assert math.isnan(score_surface([], faces)["surface_median_mm"])


def test_thinning_evens_out_what_crowds() -> None:
    random = np.random.Generator(np.random.Philox(6))
    sparse = random.uniform(0.0, 0.1, (4000, 3)) * (1, 1, 0)
    crowd = random.uniform(0.04, 0.05, (40000, 3)) * (1, 1, 0)
    points = np.concatenate([sparse, crowd])
    kept = points[thinned(points, 0.005)]
    inside = ((kept > 0.04) & (kept < 0.05))[:, :2].all(axis=1)
    assert len(kept) == 400
    assert inside.sum() == 4
    assert np.array_equal(thinned(points, 0.005), thinned(points, 0.005))


def test_face_vertices_are_those_seen_as_face_at_their_depth() -> None:
    camera = Camera("1", np.array([[100.0, 0, 20], [0, 100, 20], [0, 0, 1]]), np.eye(4), 40, 40)
    vertices = np.array([[0, 0, 1.0], [0, 0, 1.05], [0.15, 0, 1.0], [0, 0, -1.0], [5.0, 0, 1.0]])
    share, depth = np.zeros((40, 40)), np.full((40, 40), 1.0)
    share[:, :30] = 1.0
    view = FaceView(camera, share, depth)
    assert face_vertices(vertices, [view, view]).tolist() == [True, False, False, False, False]
    assert not face_vertices(vertices, [view, FaceView(camera, share * 0, depth)]).any()
    assert not face_vertices(vertices, []).any()


@pytest.fixture
def track() -> np.ndarray:
    """Twelve poses of a turning head."""
    return np.stack([pose((0.02, 0.05 * k, 0.0), (0.001 * k, 0.0, 0.0)) for k in range(12)])


POINTS = np.random.Generator(np.random.Philox(2)).normal(scale=0.05, size=(40, 3))


def test_a_perfect_track_and_a_constant_offset_do_not_jitter(track: np.ndarray) -> None:
    assert jitter_mm(track, track, POINTS) == pytest.approx(0.0, abs=1e-9)
    offset = track @ pose((0.1, 0.2, 0.0), (0.01, 0.0, 0.0))
    shifted = pose((0, 0, 0), (0.02, 0.03, 0.0)) @ track
    assert jitter_mm(shifted, track, POINTS) < 0.2
    assert jitter_mm(offset, track, POINTS) < jitter_mm(np.roll(track, 1, axis=0), track, POINTS)


def test_white_noise_comes_back_as_its_size() -> None:
    still = np.eye(4)[None].repeat(2000, axis=0)
    noisy = still.copy()
    noisy[:, :3, 3] = np.random.Generator(np.random.Philox(3)).normal(scale=1e-4, size=(2000, 3))
    assert jitter_mm(noisy, still, POINTS) == pytest.approx(0.1 * math.sqrt(3), rel=0.05)


def test_a_slow_drift_is_not_jitter_and_two_frames_say_nothing() -> None:
    still = np.eye(4)[None].repeat(10, axis=0)
    drift = still.copy()
    drift[:, 0, 3] = 0.001 * np.arange(10)
    assert jitter_mm(drift, still, POINTS) == pytest.approx(0.0, abs=1e-9)
    assert math.isnan(jitter_mm(still[:2], still[:2], POINTS))


def test_expressions_are_compared_by_name_and_only_where_they_move() -> None:
    time = np.linspace(0, 1, 8)
    truth = np.stack([time, 0.1 * time, time**2, 1 - time], axis=1)
    code = np.stack([0.3 + 0.5 * time, np.zeros(8), time], axis=1)
    names, true_names = ("jawOpen", "mouthLeft", "browDown"), ("jawOpen", "browDown", "elsewhere", "mouthLeft")
    assert expression_correlation(code, names, truth, true_names) == pytest.approx(0.5)  # jaw 1, still mouth 0
    assert expression_correlation(-code, names[:1], truth, true_names) == pytest.approx(-1.0)
    assert math.isnan(expression_correlation(code, names, truth, ("a", "b", "c", "d")))
