"""Building blocks of the open head: alignment, principal components, random coefficients, gaze."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from headcast.heads.open_build import _detail_coefficients, _macro_coefficients, align, gaze_rotations, principal_components
from headcast.heads.open_regions import mirror_map, smoothstep


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.floats(0.5, 2.0))
def test_alignment_undoes_a_similarity(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    reference = rng.normal(size=(30, 3))
    moved = scale * reference @ Rotation.random(random_state=seed).as_matrix().T + rng.normal(size=3)
    np.testing.assert_allclose(align(moved[None], reference, rng.uniform(0.1, 1, 30))[0], reference, atol=1e-9)


def test_components_span_the_shapes_and_have_unit_scores() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(3, 40 * 3))
    shapes = (rng.normal(size=(500, 3)) @ truth).reshape(500, 40, 3)
    mean, basis = principal_components(shapes, np.ones(40), 3)
    coefficients = np.linalg.lstsq(basis.reshape(3, -1).T, (shapes - mean).reshape(500, -1).T, rcond=None)[0]
    np.testing.assert_allclose(mean + (coefficients.T @ basis.reshape(3, -1)).reshape(500, 40, 3), shapes, atol=1e-8)
    np.testing.assert_allclose(coefficients.std(axis=1), 1.0, atol=1e-6)


def test_macro_weights_are_convex() -> None:
    weights = _macro_coefficients(np.random.default_rng(1), 50)
    assert (weights >= 0).all()
    np.testing.assert_allclose(weights[:, :12].sum(axis=1), 1.0)
    np.testing.assert_allclose(weights[:, 12:].sum(axis=1), 1.0)


def test_one_end_of_a_slider_at_a_time_and_sides_alike() -> None:
    names = ["ears/l-ear-scale-decr", "ears/l-ear-scale-incr", "ears/r-ear-scale-decr", "ears/r-ear-scale-incr"]
    weights = _detail_coefficients(np.random.default_rng(2), names, 400)
    assert (weights[:, 0] * weights[:, 1] == 0).all() and (weights >= 0).all() and (weights <= 1).all()
    signed = weights[:, 1::2] - weights[:, 0::2]
    assert np.corrcoef(signed.T)[0, 1] > 0.8


def test_gaze_recovers_a_small_rotation() -> None:
    rng = np.random.default_rng(4)
    ball = rng.normal(size=(50, 3)) * 0.012
    omega = np.array([0.02, -0.05, 0.01])
    basis = np.cross(omega, ball - ball.mean(axis=0))[None]
    eye = np.arange(50)
    np.testing.assert_allclose(gaze_rotations(basis, ball, (eye, eye))[0], np.tile(omega, 2), atol=1e-9)


def test_mirror_map_and_ramp() -> None:
    points = np.array([[0.1, 0, 0], [-0.1, 0, 0], [0, 1, 0]])
    assert mirror_map(points).tolist() == [1, 0, 2]
    assert smoothstep(np.array([-1.0, 0.0, 0.5, 1.0, 2.0])).tolist() == [0, 0, 0.5, 1, 1]
