"""Levenberg-Marquardt on the arrow system: frames are banded (smoothness couples neighbours), shared unknowns are eliminated last.

Every step is the least of its parabola within the bounds of the expressions, found by the primal-dual active set method
(Hintermüller, Ito & Kunisch 2002): clipping a step afterwards would make it no step downhill, and the iteration zigzag.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import numpy as np
from jaxtyping import Bool, Float
from scipy.linalg import solveh_banded
from scipy.spatial.transform import Rotation

from headcast.errors import Diverged
from headcast.fitting.normal import State, System, Weights, assemble
from headcast.fitting.observations import Observations

logger = logging.getLogger(__name__)

SECOND_DIFFERENCE = np.array([1.0, -2.0, 1.0])
HELD = 1e10  # of an unknown's diagonal that is held
SWEEPS = 12  # of which unknowns are on a bound
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


Held = tuple[Bool[np.ndarray, "F P"], Float[np.ndarray, "F P"]]
"""Unknowns that are held in a step, and at which increment each."""
Shared = TypeVar("Shared")


def solve(
    system: System, smooth: Float[np.ndarray, "P"], gradient: Float[np.ndarray, "F P"], held: Held, damping: float
) -> tuple[Float[np.ndarray, "S"], Float[np.ndarray, "F P"], Float[np.ndarray, "F P"]]:
    """The damped Gauss-Newton step: a banded Cholesky over frames, then the Schur complement of the shared unknowns.

    Also the gradient that remains after it, of which only what the held unknowns feel is not zero.
    """
    frames, size = gradient.shape
    fixed, increment = held
    framed = system.framed.copy()
    diagonal = np.einsum("fpp->fp", framed)
    diagonal += damping * diagonal + 1e-9 + HELD * fixed
    coupling = system.mixed.transpose(0, 2, 1).reshape(frames * size, -1)
    right = np.concatenate([(HELD * fixed * increment - gradient).reshape(-1, 1), coupling], axis=1)
    solved = solveh_banded(banded(framed, smooth), right, lower=True, check_finite=False)
    shared = system.shared + np.diag(damping * np.diag(system.shared))
    step = np.linalg.solve(shared - coupling.T @ solved[:, 1:], -system.shared_gradient - coupling.T @ solved[:, 0])
    moved = (solved[:, 0] - solved[:, 1:] @ step).reshape(frames, size)
    return step, moved, HELD * fixed * (increment - moved)


def within_bounds(
    solve: Callable[[Held], tuple[Shared, Float[np.ndarray, "F P"], Float[np.ndarray, "F P"]]],
    state: State,
    gradient: Float[np.ndarray, "F P"],
) -> tuple[Shared, Float[np.ndarray, "F P"]]:
    """The step after which expressions are within their bounds and all others feel no gradient.

    ``solve`` gives the step with some unknowns held, and the gradient that remains.
    """
    units = state.expression.shape[1]
    room = np.full((2, *gradient.shape), np.array([-np.inf, np.inf])[:, None, None])
    room[..., :units] = np.broadcast_to(state.bounds, (units, 2)).T[:, None] - state.expression
    below, above = (room[0] >= 0.0) & (gradient > 0.0), (room[1] <= 0.0) & (gradient < 0.0)
    for _ in range(SWEEPS):
        increment = np.where(below, room[0], np.where(above, room[1], 0.0))
        shared, step, left = solve((below | above, increment))
        now = np.where(below, left > 0.0, step < room[0]), np.where(above, left < 0.0, step > room[1])
        if (now[0] == below).all() and (now[1] == above).all():
            break
        below, above = now
    return shared, step


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
        part = partial(solve, system, smoothness(state, weights), gradient, damping=damping)
        candidate = state.moved(*within_bounds(part, state, gradient))
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
