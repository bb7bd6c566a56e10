"""Levenberg-Marquardt on the arrow system: frames are banded (smoothness couples neighbours), shared unknowns are eliminated last.

Bounds of the expressions are kept by the projected Newton rule (Bertsekas 1982): an unknown that sits on a bound and is pushed
outwards is held for the step.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float
from scipy.linalg import solveh_banded
from scipy.spatial.transform import Rotation

from headcast.errors import Diverged
from headcast.fitting.normal import State, System, Weights, assemble
from headcast.fitting.observations import Observations

logger = logging.getLogger(__name__)

SECOND_DIFFERENCE = np.array([1.0, -2.0, 1.0])
HELD = 1e12
TOLERANCE = 1e-4
DAMPING, DAMPING_RANGE = 1e-4, (1e-9, 1e6)


def motion_residuals(state: State) -> Float[np.ndarray, "F2 P"]:
    """Second differences over time of expression, rotation (change of the step, rad) and translation (m); none for two frames."""
    steps = Rotation.from_matrix(state.rotation[1:] @ state.rotation[:-1].transpose(0, 2, 1)).as_rotvec()
    second = [np.diff(state.expression, n=2, axis=0), np.diff(steps, axis=0), np.diff(state.translation, n=2, axis=0)]
    return np.concatenate(second, axis=1)


def smoothness(state: State, weights: Weights) -> Float[np.ndarray, "P"]:
    """The weight of each per-frame unknown's squared second difference."""
    frames, units = state.expression.shape
    motion = weights.motion_smooth / weights.noise**2
    arm = 0.1  # m: a rotation of 1 rad moves the face by about this much
    expression = np.broadcast_to(weights.expression_smooth / state.spread**2, units)
    return np.concatenate([expression, np.full(3, motion * arm**2), np.full(3, motion)]) / frames


def smoothness_cost(state: State, weights: Weights) -> float:
    """Half the weighted sum of squared second differences."""
    return 0.5 * float((smoothness(state, weights) * motion_residuals(state) ** 2).sum()) if len(state.expression) > 2 else 0.0


def smoothness_gradient(state: State, weights: Weights) -> Float[np.ndarray, "F P"]:
    """Gradient of `smoothness_cost` by the per-frame unknowns."""
    gradient = np.zeros((len(state.expression), state.expression.shape[1] + 6))
    if len(gradient) > 2:
        pull = smoothness(state, weights) * motion_residuals(state)
        for offset, factor in enumerate(SECOND_DIFFERENCE):
            gradient[offset : offset + len(pull)] += factor * pull
    return gradient


def banded(framed: Float[np.ndarray, "F P P"], smooth: Float[np.ndarray, "P"]) -> Float[np.ndarray, "B n"]:
    """Lower banded storage of the block-diagonal matrix plus the second-difference coupling of each unknown over time."""
    frames, size, _ = framed.shape
    coupling = np.zeros((frames, 3))  # diagonal, next and second-next frame
    for start in range(frames - 2):
        for i in range(3):
            for j in range(i + 1):
                coupling[start + j, i - j] += SECOND_DIFFERENCE[i] * SECOND_DIFFERENCE[j]
    band = np.zeros((min(frames, 3) * size, frames * size))
    rows, columns = np.tril_indices(size)
    for f in range(frames):
        band[rows - columns, f * size + columns] += framed[f, rows, columns]
    for lag in range(min(frames, 3)):
        band[lag * size] += np.outer(coupling[:, lag], smooth).reshape(-1)
    return band


def solve(
    system: System,
    smooth: Float[np.ndarray, "P"],
    gradient: Float[np.ndarray, "F P"],
    held: Bool[np.ndarray, "F P"],
    damping: float,
) -> tuple[Float[np.ndarray, "S"], Float[np.ndarray, "F P"]]:
    """The damped Gauss-Newton step: a banded Cholesky over frames, then the Schur complement of the shared unknowns."""
    frames, size = gradient.shape
    framed = system.framed.copy()
    diagonal = np.einsum("fpp->fp", framed)
    diagonal += damping * diagonal + 1e-9
    diagonal[held] += HELD
    right = np.concatenate([-gradient.reshape(-1, 1), system.mixed.transpose(0, 2, 1).reshape(frames * size, -1)], axis=1)
    right[held.reshape(-1)] = 0.0
    solved = solveh_banded(banded(framed, smooth), right, lower=True, check_finite=False)
    coupling = system.mixed.transpose(0, 2, 1).reshape(frames * size, -1)
    shared = system.shared + np.diag(damping * np.diag(system.shared))
    step = np.linalg.solve(shared - coupling.T @ solved[:, 1:], -system.shared_gradient - coupling.T @ solved[:, 0])
    return step, (solved[:, 0] - solved[:, 1:] @ step).reshape(frames, size)


def minimise(
    state: State,
    observations: Observations,
    weights: Weights,
    shared: bool,
    iterations: int,
    progress: Callable[[int, int], None],
) -> State:
    """Iterate until the cost falls by less than `TOLERANCE` of itself. Raises ``Diverged`` on a cost that is not finite."""
    damping, system = DAMPING, assemble(state, observations, weights, shared)
    cost = system.cost + smoothness_cost(state, weights)
    for iteration in range(iterations):
        if not np.isfinite(cost):
            raise Diverged("fit_head", f"the cost is not finite at iteration {iteration}", "look at the landmarks of this sequence")
        gradient = system.framed_gradient + smoothness_gradient(state, weights)
        step = solve(system, smoothness(state, weights), gradient, held(state, gradient), damping)
        candidate = state.moved(*step)
        tried = assemble(candidate, observations, weights, shared)
        tried_cost = tried.cost + smoothness_cost(candidate, weights)
        progress(iteration + 1, iterations)
        if not tried_cost < cost:
            damping *= 10.0
            if damping > DAMPING_RANGE[1]:
                break
            continue
        gain, state, system, cost = 1.0 - tried_cost / cost, candidate, tried, tried_cost
        damping = max(damping / 5.0, DAMPING_RANGE[0])
        if gain < TOLERANCE:
            break
    logger.info("fit: cost %.5g after %d iterations", cost, iteration + 1)
    return state


def held(state: State, gradient: Float[np.ndarray, "F P"]) -> Bool[np.ndarray, "F P"]:
    """Expressions on a bound that the gradient pushes outwards."""
    units = state.expression.shape[1]
    push = gradient[:, :units]
    found = np.zeros(gradient.shape, dtype=bool)
    lower, upper = np.moveaxis(state.bounds, -1, 0)
    found[:, :units] = ((state.expression <= lower) & (push > 0.0)) | ((state.expression >= upper) & (push < 0.0))
    return found
