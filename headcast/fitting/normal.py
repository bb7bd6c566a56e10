"""The Gauss-Newton system of the fit: reprojection, priors and smoothness as one block-banded arrow matrix.

Residuals are metres: the pixel error times depth over focal length. Unknowns: shared (identity, log scale) and per frame
(expression, rotation increment, translation). Views are summed up per surface point first (3 × 3 weights), so the cost hardly
grows with the number of cameras.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from headcast.fitting.observations import Observations

MIN_DEPTH = 0.05


@dataclass(frozen=True)
class Weights:
    """How the terms are balanced; every data residual is in units of ``noise`` (m)."""

    noise: float = 0.0015
    kernel: float = 0.004  # m, width of the Geman-McClure kernel
    identity: float = 0.5
    expression: float = 2.0
    expression_smooth: float = 2.0
    motion_smooth: float = 0.02  # per (rad or m) / noise of second difference


@dataclass(frozen=True)
class State:
    """The unknowns: identity I, expression F E, rotation F 3 3, translation F 3 (m), scale."""

    identity: Float[np.ndarray, "I"]
    expression: Float[np.ndarray, "F E"]
    rotation: Float[np.ndarray, "F 3 3"]
    translation: Float[np.ndarray, "F 3"]
    scale: float

    def moved(self, shared: Float[np.ndarray, "S"], framed: Float[np.ndarray, "F P"]) -> State:
        """The state after an increment of the shared and the per-frame unknowns; expressions stay within [0, 1]."""
        units = self.expression.shape[1]
        return replace(
            self,
            identity=self.identity + shared[:-1],
            scale=self.scale * float(np.exp(shared[-1])),
            expression=np.clip(self.expression + framed[:, :units], 0.0, 1.0),
            rotation=Rotation.from_rotvec(framed[:, units : units + 3]).as_matrix() @ self.rotation,
            translation=self.translation + framed[:, units + 3 :],
        )


@dataclass(frozen=True)
class System:
    """Blocks of the normal equations: ``shared`` S S, ``framed`` F P P, ``mixed`` F S P, gradients, and the cost."""

    shared: Float[np.ndarray, "S S"]
    framed: Float[np.ndarray, "F P P"]
    mixed: Float[np.ndarray, "F S P"]
    shared_gradient: Float[np.ndarray, "S"]
    framed_gradient: Float[np.ndarray, "F P"]
    cost: float


def world_points(state: State, observations: Observations) -> tuple[Float[np.ndarray, "F L 3"], Float[np.ndarray, "F L 3"]]:
    """The observed surface points in the world (m), and relative to the translation."""
    local = observations.basis.points(state.identity, state.expression)
    arms = state.scale * np.einsum("fjk,flk->flj", state.rotation, local)
    return arms + state.translation[:, None], arms


def reprojection(
    points: Float[np.ndarray, "L 3"], observations: Observations, frame: int
) -> tuple[Float[np.ndarray, "C L 2"], Float[np.ndarray, "C L 2 3"]]:
    """Residuals (m at the point's depth) of one frame, and their derivative by the world point."""
    matrices = observations.matrices
    homogeneous = np.einsum("cij,lj->cli", matrices[:, :, :3], points) + matrices[:, None, :, 3]
    depth = np.maximum(homogeneous[..., 2:], MIN_DEPTH)
    pixels = homogeneous[..., :2] / depth
    to_metres = depth / observations.focal[:, None, None]
    slope = matrices[:, None, :2, :3] - pixels[..., None] * matrices[:, None, 2:, :3]
    return (pixels - observations.pixels[frame]) * to_metres, slope / observations.focal[:, None, None, None]


def data_terms(
    points: Float[np.ndarray, "L 3"], observations: Observations, frame: int, weights: Weights
) -> tuple[Float[np.ndarray, "L 3 3"], Float[np.ndarray, "L 3"], float]:
    """Curvature and gradient of the robust reprojection cost by each world point of a frame, and the cost (Geman-McClure)."""
    residual, slope = reprojection(points, observations, frame)
    squared = (residual**2).sum(axis=-1) / weights.kernel**2
    base = observations.weights[frame] / weights.noise**2
    importance = base / (1.0 + squared) ** 2
    weighted = slope * importance[..., None, None]
    curvature = np.einsum("clri,clrj->lij", weighted, slope, optimize=True)
    gradient = np.einsum("clri,clr->li", weighted, residual, optimize=True)
    cost = 0.5 * float((base * weights.kernel**2 * squared / (1.0 + squared)).sum())
    return curvature, gradient, cost


def jacobian(state: State, arms: Float[np.ndarray, "L 3"], observations: Observations, frame: int) -> Float[np.ndarray, "L 3 n"]:
    """Derivative of a frame's world points by (identity, log scale, expression, rotation, translation)."""
    turned = state.scale * state.rotation[frame]
    basis = observations.basis
    x, y, z = arms.T
    zero = np.zeros_like(x)
    spin = np.stack([np.stack([zero, z, -y], -1), np.stack([-z, zero, x], -1), np.stack([y, -x, zero], -1)], axis=1)
    shift = np.broadcast_to(np.eye(3), (len(arms), 3, 3))
    return np.concatenate([turned @ basis.identity, arms[..., None], turned @ basis.expression, spin, shift], axis=2)


def assemble(state: State, observations: Observations, weights: Weights, free_shared: Float[np.ndarray, "S"]) -> System:
    """The data terms and priors of all frames, averaged over frames; columns of shared unknowns that are not free are zeroed."""
    frames, units = state.expression.shape
    split = len(state.identity) + 1
    size = split + units + 6
    world, arms = world_points(state, observations)
    blocks, gradients, cost = np.zeros((frames, size, size)), np.zeros((frames, size)), 0.0
    for f in range(frames):
        curvature, gradient, value = data_terms(world[f], observations, f, weights)
        slopes = jacobian(state, arms[f], observations, f)
        slopes[..., :split] *= free_shared
        blocks[f] = slopes.reshape(-1, size).T @ (curvature @ slopes).reshape(-1, size)
        gradients[f] = slopes.reshape(-1, size).T @ gradient.reshape(-1)
        cost += value
    system = System(
        shared=blocks[:, :split, :split].mean(axis=0),
        framed=blocks[:, split:, split:] / frames,
        mixed=blocks[:, :split, split:] / frames,
        shared_gradient=gradients[:, :split].mean(axis=0),
        framed_gradient=gradients[:, split:] / frames,
        cost=cost / frames,
    )
    return _with_priors(system, state, weights, free_shared)


def _with_priors(system: System, state: State, weights: Weights, free_shared: Float[np.ndarray, "S"]) -> System:
    frames, units = state.expression.shape
    identity = np.append(np.full(len(state.identity), weights.identity), 0.0) * free_shared
    shared = system.shared + np.diag(np.where(free_shared > 0, identity, 1.0))
    expression = weights.expression / frames
    framed = system.framed.copy()
    framed[:, np.arange(units), np.arange(units)] += expression
    framed_gradient = system.framed_gradient.copy()
    framed_gradient[:, :units] += expression * state.expression
    prior = 0.5 * weights.identity * float((state.identity**2).sum()) + 0.5 * expression * float((state.expression**2).sum())
    return replace(
        system,
        shared=shared,
        framed=framed,
        shared_gradient=system.shared_gradient + identity * np.append(state.identity, 0.0),
        framed_gradient=framed_gradient,
        cost=system.cost + prior,
    )
