"""Points that slide with the viewing direction: the slide is found, and a turning head no longer seems to shift."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from headcast.imaging.landmarks import projections, reproject, triangulate
from headcast.imaging.view_bias import direction_terms, regress, view_bias
from tests.fitting.ring import ring

FRAMES, POINTS = 9, 40
AZIMUTHS = (-50, -35, -20, -7, 7, 20, 35, 50)


def solve(matrices: np.ndarray):  # type: ignore[no-untyped-def]
    return lambda pixels, size: triangulate(pixels, matrices, size)[0]


def turning_head(slide_m: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[Rotation]]:
    """World points, their pixels with a slide that grows with the square of the azimuth, matrices, rotations."""
    rng, cameras = np.random.default_rng(2), list(ring(np.zeros(3), AZIMUTHS).values())
    matrices, face = projections(cameras), rng.uniform(-0.05, 0.05, (POINTS, 3)) * [1, 1, 0.5] + [0, 0, 0.05]
    turns = [Rotation.from_euler("y", angle, degrees=True) for angle in np.linspace(-20, 20, FRAMES)]
    world = np.stack([turn.apply(face) for turn in turns])
    pixels = np.stack([reproject(points, matrices) for points in world])
    centres = np.stack([-np.linalg.solve(m[:, :3], m[:, 3]) for m in matrices])
    for f, turn in enumerate(turns):
        seen = turn.inv().apply(centres)
        azimuth = np.arctan2(seen[:, 0], seen[:, 2])
        pixels[f, :, :, 0] += (1500.0 * slide_m * azimuth**2)[:, None]
    return world, pixels, matrices, turns


def shake(found: np.ndarray, true: np.ndarray) -> float:
    """How much the mean of the points moves against the truth (m)."""
    return float((found - true).mean(axis=1).std(axis=0).max())


def test_a_slide_with_the_direction_no_longer_shifts_the_head() -> None:
    world, pixels, matrices, _ = turning_head(0.006)
    distance = np.full(FRAMES, 130.0)
    before = np.stack([solve(matrices)(frame, 130.0) for frame in pixels])
    bias = view_bias(pixels, matrices, distance, solve(matrices))
    after = np.stack([solve(matrices)(frame, 130.0) for frame in pixels - bias])
    assert shake(before, world) > 4e-4
    assert shake(after, world) < 0.5 * shake(before, world)


def test_exact_points_stay_where_they_are() -> None:
    _, pixels, matrices, _ = turning_head(0.0)
    assert np.abs(view_bias(pixels, matrices, np.full(FRAMES, 130.0), solve(matrices))).max() < 0.05  # px


def test_gaps_and_few_views_are_left_alone() -> None:
    _, pixels, matrices, _ = turning_head(0.006)
    distance = np.full(FRAMES, 130.0)
    distance[3], pixels[3], pixels[5, 2] = np.nan, np.nan, np.nan
    bias = view_bias(pixels, matrices, distance, solve(matrices))
    assert np.isfinite(bias).all() and not bias[3].any() and bias[4].any()
    assert not view_bias(pixels[:, :3], matrices[:3], distance, solve(matrices[:3])).any()
    assert not view_bias(pixels[:1], matrices, distance[:1], solve(matrices)).any()


def test_directions_are_seen_from_the_head() -> None:
    world, _, matrices, turns = turning_head(0.0)
    terms = direction_terms(world, matrices)
    turned = np.degrees(terms[0, :, 1] - terms[-1, :, 1])
    expected = (turns[-1] * turns[0].inv()).magnitude() * 180 / np.pi
    np.testing.assert_allclose(turned, expected, atol=3.0)  # the ring is tilted, too
    assert (np.diff(terms[0, :, 1]) > 0).all()  # cameras further to the left of the head come later in the ring


def test_outliers_do_not_bend_the_regression() -> None:
    rng = np.random.default_rng(1)
    terms, truth = rng.normal(size=(6, 8, 7)), rng.normal(size=(7, 5, 2)) * 5e-4
    missed = np.einsum("fck,knd->fcnd", terms, truth)
    spoiled = missed.copy()
    spoiled[0, :2] += 0.5
    np.testing.assert_allclose(regress(terms, spoiled)[1:], missed[1:], atol=3e-4)
