"""The Gauss-Newton system against finite differences, the arrow solver against a dense one, and embedding."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from headcast.errors import HeadcastError
from headcast.fitting.embedding import embed, mirror_pairs, symmetric
from headcast.fitting.normal import State, System, Weights, assemble
from headcast.fitting.observations import Observations
from headcast.fitting.solver import SECOND_DIFFERENCE, Held, solve, within_bounds
from headcast.heads.surface_points import PointBasis
from headcast.imaging.landmarks import projections, reproject
from tests.fitting.ring import ring

FRAMES, POINTS, IDENTITY, UNITS = 5, 12, 3, 2


def small_problem(seed: int = 0) -> tuple[State, Observations]:
    rng, matrices = np.random.default_rng(seed), projections(list(ring(np.zeros(3)).values()))
    basis = PointBasis(*(rng.normal(size=(POINTS, 3, *rest)) * 0.03 for rest in ((), (IDENTITY,), (UNITS,))))
    rotation = Rotation.from_rotvec(rng.normal(size=(FRAMES, 3)) * 0.2).as_matrix()
    state = State(
        rng.normal(size=IDENTITY), rng.uniform(0.3, 0.6, (FRAMES, UNITS)), rotation, rng.normal(size=(FRAMES, 3)) * 0.01, 1.1
    )
    local = basis.points(state.identity, state.expression)
    world = 1.1 * np.einsum("fjk,flk->flj", rotation, local) + state.translation[:, None]
    pixels = np.stack([reproject(frame, matrices) for frame in world + rng.normal(size=world.shape) * 0.003])
    weights = rng.uniform(0.2, 1, (FRAMES, len(matrices), POINTS))
    return state, Observations(pixels, weights, matrices, np.full(len(matrices), 1500.0), basis)


def test_gradient_agrees_with_finite_differences() -> None:
    state, observations = small_problem()
    weights = Weights(noise=0.01, kernel=0.05)
    system, h = assemble(state, observations, weights, True), 1e-6

    def cost(shared: np.ndarray, framed: np.ndarray) -> float:
        return assemble(state.moved(shared, framed), observations, weights, True).cost

    # the factor that turns pixels into metres is held fixed in a step, so the slopes agree to a few per cent only
    for k in range(IDENTITY + 1):
        step = np.zeros(IDENTITY + 1)
        step[k] = h
        slope = (cost(step, np.zeros((FRAMES, UNITS + 6))) - cost(-step, np.zeros((FRAMES, UNITS + 6)))) / (2 * h)
        assert system.shared_gradient[k] == pytest.approx(slope, rel=0.1, abs=0.02 * np.abs(system.shared_gradient).max())
    for k in range(UNITS + 6):
        step = np.zeros((FRAMES, UNITS + 6))
        step[2, k] = h
        slope = (cost(np.zeros(IDENTITY + 1), step) - cost(np.zeros(IDENTITY + 1), -step)) / (2 * h)
        assert system.framed_gradient[2, k] == pytest.approx(slope, rel=0.1, abs=0.05 * np.abs(system.framed_gradient[2]).max())


def test_arrow_solver_equals_a_dense_solve() -> None:
    rng, size, shared = np.random.default_rng(1), 4, 3
    blocks = rng.normal(size=(FRAMES, size, 2 * size))
    framed = blocks @ blocks.transpose(0, 2, 1) + np.eye(size)
    mixed, smooth = rng.normal(size=(FRAMES, shared, size)) * 0.3, rng.uniform(0.1, 1, size)
    system = System(20 * np.eye(shared), framed, mixed, rng.normal(size=shared), np.zeros((FRAMES, size)), 0.0)
    gradient = rng.normal(size=(FRAMES, size))
    held = np.zeros((FRAMES, size), dtype=bool), np.zeros((FRAMES, size))
    dense = np.zeros((shared + FRAMES * size,) * 2)
    dense[:shared, :shared] = system.shared
    for f in range(FRAMES):
        rows = slice(shared + f * size, shared + (f + 1) * size)
        dense[rows, rows] = framed[f]
        dense[:shared, rows], dense[rows, :shared] = mixed[f], mixed[f].T
    difference = np.zeros((FRAMES - 2, FRAMES))
    for row in range(FRAMES - 2):
        difference[row, row : row + 3] = SECOND_DIFFERENCE
    dense[shared:, shared:] += np.kron(difference.T @ difference, np.diag(smooth))
    expected = np.linalg.solve(dense, -np.concatenate([system.shared_gradient, gradient.reshape(-1)]))
    found = solve(system, smooth, gradient, held, 0.0)
    np.testing.assert_allclose(np.concatenate([found[0], found[1].reshape(-1)]), expected, atol=1e-6)
    assert not found[2].any()
    held[0][1, 2], held[1][1, 2] = True, 0.3
    step, moved, left = solve(system, smooth, gradient, held, 0.0)
    assert moved[1, 2] == pytest.approx(0.3, abs=1e-8)
    remains = dense @ np.concatenate([step, moved.reshape(-1)]) - dense @ expected
    np.testing.assert_allclose(remains[shared:].reshape(left.shape), left, atol=1e-4)


def test_a_step_within_bounds_is_the_least_of_its_parabola() -> None:
    rng, size = np.random.default_rng(2), 6
    root = rng.normal(size=(FRAMES * size, FRAMES * size))
    normal, gradient = root @ root.T / len(root) + 0.2 * np.eye(len(root)), rng.normal(size=(FRAMES, size))
    code = rng.choice([0.0, 0.05, 0.5, 1.0], (FRAMES, size))
    still = np.tile(np.eye(3), (FRAMES, 1, 1)), np.zeros((FRAMES, 3)), 1.0
    state = State(np.zeros(1), code, *still)

    def solved(held: Held) -> tuple[None, np.ndarray, np.ndarray]:
        fixed, step = held[0].reshape(-1), held[1].reshape(-1).copy()
        right = -gradient.reshape(-1) - normal[:, fixed] @ step[fixed]
        step[~fixed] = np.linalg.solve(normal[np.ix_(~fixed, ~fixed)], right[~fixed])
        left = np.where(fixed, normal @ step + gradient.reshape(-1), 0.0)
        return None, step.reshape(gradient.shape), left.reshape(gradient.shape)

    _, step = within_bounds(solved, state, gradient)
    found, after = code + step, (normal @ step.reshape(-1)).reshape(gradient.shape) + gradient
    at_lower, at_upper = found < 1e-9, found > 1 - 1e-9
    assert found.min() > -1e-9 and found.max() < 1 + 1e-9 and at_lower.any() and at_upper.any()
    assert after[at_lower].min() > 0 > after[at_upper].max()
    np.testing.assert_allclose(after[~(at_lower | at_upper)], 0, atol=1e-9)


def test_embedding_finds_points_of_the_surface_and_mirror_partners() -> None:
    vertices = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [-1, 0, 0]])
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    points = np.array([[0.2, 0.3, 0.5], [-0.2, 0.3, 0.4], [0.0, 0.9, -0.1]])
    pairs = mirror_pairs(points)
    assert pairs.tolist() == [1, 0, 2]
    even = symmetric(points, pairs)
    np.testing.assert_allclose(even[0] * [-1, 1, 1], even[1])
    found = embed(even, vertices, faces)
    placed = (vertices[found.corners] * found.weights[..., None]).sum(axis=1)
    np.testing.assert_allclose(placed, even * [1, 1, 0], atol=1e-6)
    with pytest.raises(HeadcastError, match="finite"):
        mirror_pairs(np.array([[np.nan, 0, 0]]))
