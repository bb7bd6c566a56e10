"""The rasterizer against shapes whose coverage, direction and depth are known."""

from __future__ import annotations

import numpy as np
import pytest

from headcast.capture.camera import Camera
from headcast.demo import raster

SIZE, FOCAL, DISTANCE = 40, 400.0, 1.0
METRES = DISTANCE / FOCAL  # one pixel at the subject's distance
NOTHING = raster.Surface(np.zeros((3, 3)), np.zeros((0, 3), np.int64), np.zeros(0))
BALD = raster.ribbons(np.zeros((0, 2, 3)), 1e-4, 1e-4, raster.HAIR)


@pytest.fixture(scope="module")
def camera() -> Camera:
    K = np.array([[FOCAL, 0, SIZE / 2], [0, FOCAL, SIZE / 2], [0, 0, 1]])
    return Camera("1", K, np.eye(4), SIZE, SIZE)


def pixels(points: list[tuple[float, float]], depth: float = DISTANCE) -> np.ndarray:
    """World points that project to pixel coordinates."""
    return np.array([((x - SIZE / 2) * depth / FOCAL, (y - SIZE / 2) * depth / FOCAL, depth) for x, y in points])


def rectangle(left: float, top: float, right: float, bottom: float, depth: float = DISTANCE, face: float = 1.0) -> raster.Surface:
    corners = pixels([(left, top), (right, top), (right, bottom), (left, bottom)], depth)
    return raster.Surface(corners, np.array([(0, 1, 2), (0, 2, 3)]), np.full(2, face))


def line(start: tuple[float, float], end: tuple[float, float], width_px: float, kind: int = raster.HAIR, depth: float = DISTANCE):
    radius = width_px / 2 * METRES * depth / DISTANCE
    return raster.ribbons(pixels([start, end], depth)[None], radius, radius, kind, np.ones(1))


def test_a_rectangle_covers_its_area_and_has_its_depth(camera: Camera) -> None:
    truth = raster.ground_truth(rectangle(10.25, 8.5, 30.75, 20), BALD, camera)
    assert truth.alpha.sum() == pytest.approx(20.5 * 11.5, rel=1e-3)
    assert np.array_equal(truth.alpha, truth.face)
    assert truth.alpha[12, 10] == pytest.approx(0.75, abs=1e-6)
    assert truth.depth[12, 20] == pytest.approx(DISTANCE, abs=1e-6)
    assert truth.depth[0, 0] == 0
    assert truth.hair.max() == 0


def test_the_nearer_surface_wins(camera: Camera) -> None:
    far, near = rectangle(5, 5, 35, 35, 1.2), rectangle(10, 10, 20, 20, 0.9, face=0.0)
    both = raster.Surface(
        np.concatenate([far.vertices, near.vertices]), np.concatenate([far.triangles, near.triangles + 4]), np.array([1.0, 1, 0, 0])
    )
    truth = raster.ground_truth(both, BALD, camera)
    assert truth.alpha.sum() == pytest.approx(900, rel=1e-3)
    assert truth.face.sum() == pytest.approx(800, rel=1e-3)
    assert truth.depth[15, 15] == pytest.approx(0.9)
    assert truth.depth[30, 30] == pytest.approx(1.2)


@pytest.mark.parametrize("degrees", [0, 30, 45, 90, 135, 170])
def test_a_strand_has_its_direction_and_width(camera: Camera, degrees: int) -> None:
    angle = np.deg2rad(degrees)
    step = np.array([np.sin(angle), np.cos(angle)]) * 12
    start, end = np.array([20.0, 20]) - step, np.array([20.0, 20]) + step
    truth = raster.ground_truth(NOTHING, line(tuple(start), tuple(end), 2.0), camera)
    assert truth.hair.sum() == pytest.approx(24 * 2.0, rel=0.04)
    assert np.array_equal(truth.alpha, truth.hair)
    inside = truth.hair > 0.9
    turned = np.angle(np.exp(2j * (truth.angle[inside] - angle))) / 2
    assert np.abs(np.rad2deg(turned)).max() < 0.1
    assert truth.confidence[inside].min() > 0.999
    assert truth.tone[inside] == pytest.approx(1)


def test_crossing_strands_cancel_in_confidence(camera: Camera) -> None:
    cross = raster.join([line((10, 20), (30, 20), 6.0, depth=1.0), line((20, 10), (20, 30), 0.5, depth=0.99)])
    truth = raster.ground_truth(NOTHING, cross, camera)
    pixel = truth.confidence[20, 19:21]
    assert truth.confidence[20, 12] > 0.999
    assert pixel.min() < 0.8


def test_hair_behind_the_surface_is_hidden_and_brows_count_as_face(camera: Camera) -> None:
    skin = rectangle(0, 0, 40, 40, 1.0, face=0.5)
    behind, brow = line((2, 20), (38, 20), 3.0, depth=1.1), line((2, 30), (38, 30), 2.0, raster.FACE, depth=0.95)
    truth = raster.ground_truth(skin, raster.join([behind, brow]), camera)
    assert truth.hair.max() == 0
    assert truth.face[20, 20] == pytest.approx(0.5)
    assert truth.face[30, 20] == pytest.approx(1.0)


def test_culling_and_drawing_order_change_nothing(camera: Camera) -> None:
    rng = np.random.default_rng(1)
    strands = rng.uniform(-0.05, 0.05, (400, 1, 3)) + np.cumsum(rng.normal(0, 0.003, (400, 6, 3)), axis=1) + [0, 0, 1]
    hair = raster.ribbons(strands, 2e-4, 1e-4, raster.HAIR, rng.normal(size=400))
    shuffled = rng.permutation(len(hair.start))
    other = raster.Ribbons(*(getattr(hair, name)[shuffled] for name in ("start", "end", "radius", "kind", "tone")))
    skin = rectangle(8, 8, 32, 32, 1.0)
    one, two = raster.draw(skin, hair, camera), raster.draw(skin, other, camera)
    assert np.array_equal(one, raster.draw(skin, hair, camera))
    np.testing.assert_allclose(one[..., :7], two[..., :7], atol=1.01 / 64)
