"""The Gauss-Newton system of the fit: reprojection, priors and smoothness as one block-banded arrow matrix.

Residuals are metres: the pixel error times depth over focal length. Unknowns: shared (identity, log scale) and per frame
(expression, rotation increment, translation). Views are summed up per surface point first (3 × 3 weights), so the cost hardly
grows with the number of cameras.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial.transform import Rotation

from headcast.fitting.observations import Observations, Skin
from headcast.heads.surface_points import SurfacePoints
from headcast.imaging.landmarks import over_views, pixel_powers

Terms = tuple[Float[np.ndarray, "n 3 3"], Float[np.ndarray, "n 3"], float]

MIN_DEPTH = 0.05
CROSS = np.array([[[0, 0, 0], [0, 0, 1], [0, -1, 0]], [[0, 0, -1], [0, 0, 0], [1, 0, 0]], [[0, 1, 0], [-1, 0, 0], [0, 0, 0]]])
"""(a × b)_i = Σ ``CROSS[i, m, j]`` a_m b_j."""


@dataclass(frozen=True)
class Weights:
    """How the terms are balanced; every data residual is in units of ``noise`` (m)."""

    noise: float = 0.0015
    kernel: float = 0.004  # m, width of the Geman-McClure kernel
    identity: float = 0.5
    expression: float = 2.0
    expression_smooth: float = 2.0
    motion_smooth: float = 0.2  # per (rad or m) / noise of second difference
    log_scale: float = 0.0  # pulls the size to that of the model


@dataclass(frozen=True)
class State:
    """The unknowns: identity I, expression F E, rotation F 3 3, translation F 3 (m), scale.

    ``bounds`` E 2 (or 2) keep the expression; ``spread`` E is how far each unit usually goes.
    """

    identity: Float[np.ndarray, "I"]
    expression: Float[np.ndarray, "F E"]
    rotation: Float[np.ndarray, "F 3 3"]
    translation: Float[np.ndarray, "F 3"]
    scale: float
    bounds: Float[np.ndarray, "*E 2"] = field(default_factory=lambda: np.array([0.0, 1.0]))
    spread: Float[np.ndarray, "*E"] = field(default_factory=lambda: np.ones(()))

    def at_frames(self, frames: Int[np.ndarray, "k"]) -> State:
        """The unknowns of some frames."""
        return replace(self, **{name: getattr(self, name)[frames] for name in ("expression", "rotation", "translation")})

    def moved(self, shared: Float[np.ndarray, "S"], framed: Float[np.ndarray, "F P"]) -> State:
        """The state after an increment of the shared (none, when they are constants) and the per-frame unknowns.

        Expressions stay within their bounds.
        """
        units = self.expression.shape[1]
        shared = shared if len(shared) else np.zeros(len(self.identity) + 1)
        return replace(
            self,
            identity=self.identity + shared[:-1],
            scale=self.scale * float(np.exp(shared[-1])),
            expression=np.clip(self.expression + framed[:, :units], *np.moveaxis(self.bounds, -1, 0)),
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


def data_terms(
    points: Float[np.ndarray, "L 3"], observations: Observations, frame: int, weights: Weights
) -> tuple[Float[np.ndarray, "L 3 3"], Float[np.ndarray, "L 3"], float]:
    """Curvature and gradient of the robust reprojection cost by each world point of a frame, and the cost (Geman-McClure).

    The factor that turns a view's pixels into metres at the point is held fixed in the derivatives.
    """
    matrices, per_focal = observations.matrices, 1.0 / observations.focal[:, None]
    u, v, depth = matrices.transpose(1, 0, 2) @ np.vstack([points.T, np.ones(len(points))])
    depth = np.maximum(depth, MIN_DEPTH)
    u, v, to_metres = u / depth, v / depth, depth * per_focal
    off_u, off_v = (u - observations.pixels[frame, ..., 0]) * to_metres, (v - observations.pixels[frame, ..., 1]) * to_metres
    trust = 1.0 / (1.0 + (off_u**2 + off_v**2) / weights.kernel**2)
    base = observations.weights[frame] / weights.noise**2
    importance = base * trust**2 * per_focal
    curvature = over_views(importance * per_focal * pixel_powers(u, v), observations.forms)
    gradient = over_views(importance * np.stack([off_u, off_v, -(u * off_u + v * off_v)]), matrices[:, :, :3])
    return curvature, gradient, 0.5 * weights.kernel**2 * float((base * (1.0 - trust)).sum())


def skin_terms(points: Float[np.ndarray, "N 3"], skin: Skin, frame: int) -> Terms:
    """Curvature and gradient of the photometric cost by each skin point of a frame, and the cost: a parabola about ``places``."""
    off = points - skin.places[frame]
    pull = np.einsum("nij,nj->ni", skin.curvature[frame], off)
    gradient = pull - skin.pull[frame]
    return skin.curvature[frame], gradient, float((0.5 * pull * off - skin.pull[frame] * off).sum() + skin.floor[frame].sum())


def _sources(observations: Observations, weights: Weights) -> list[tuple[SurfacePoints, Callable[[np.ndarray, int], Terms]]]:
    """Points of the model, each set with its data terms at given places (m, world) in a frame."""
    found: list[tuple[SurfacePoints, Callable[[np.ndarray, int], Terms]]] = [
        (observations.basis, lambda points, frame: data_terms(points, observations, frame, weights))
    ]
    if observations.skin is not None:
        skin = observations.skin
        found.append((skin.basis, lambda points, frame: skin_terms(points, skin, frame)))
    return found


def moving_columns(local: Float[np.ndarray, "L 3"], rotation: Float[np.ndarray, "3 3"], scale: float) -> Float[np.ndarray, "L 3 7"]:
    """Derivative of a frame's points, turned back into the model frame and unscaled, by log scale, rotation and translation."""
    spin = local @ np.einsum("imj,km->jik", CROSS, rotation).reshape(3, 9)
    shift = np.broadcast_to(rotation.T / scale, (len(local), 3, 3))
    return np.concatenate([local[..., None], spin.reshape(-1, 3, 3), shift], axis=2)


def assemble(state: State, observations: Observations, weights: Weights, shared: bool) -> System:
    """The data terms and priors of all frames, averaged over frames; without ``shared``, identity and scale are constants (S = 0).

    Everything happens in the model frame, where the derivatives by identity and expression of a linear model are constants.
    """
    frames, units = state.expression.shape
    components = len(state.identity) if shared else 0
    constant = 0 if shared else len(state.identity)
    scale_column = [components + units] if shared else []
    order = np.r_[:components, scale_column, components : components + units, np.arange(6) + components + units + 1].astype(int)
    blocks, gradients, cost = np.zeros((frames, len(order), len(order))), np.zeros((frames, len(order))), 0.0
    for basis, terms in _sources(observations, weights):
        local = basis.points(state.identity, state.expression)
        for f in range(frames):
            turn = state.scale * state.rotation[f]
            curvature, gradient, value = terms(local[f] @ turn.T + state.translation[f], f)
            moving = moving_columns(local[f], state.rotation[f], state.scale)
            fixed = basis.slopes(state.identity, state.expression[f])[..., constant:]
            block, slope = _frame_block(fixed, moving, turn.T @ curvature @ turn, gradient @ turn)
            blocks[f] += block[np.ix_(order, order)]
            gradients[f] += slope[order]
            cost += value
    split = len(order) - units - 6
    system = System(
        shared=blocks[:, :split, :split].mean(axis=0),
        framed=blocks[:, split:, split:] / frames,
        mixed=blocks[:, :split, split:] / frames,
        shared_gradient=gradients[:, :split].mean(axis=0),
        framed_gradient=gradients[:, split:] / frames,
        cost=cost / frames,
    )
    return _with_priors(system, state, weights)


def _frame_block(
    fixed: Float[np.ndarray, "L 3 n"],
    moving: Float[np.ndarray, "L 3 7"],
    curvature: Float[np.ndarray, "L 3 3"],
    gradient: Float[np.ndarray, "L 3"],
) -> tuple[Float[np.ndarray, "m m"], Float[np.ndarray, "m"]]:
    """Normal matrix and gradient of one frame by (identity, expression, log scale, rotation, translation).

    Summed in single precision, which is a third of the time; the priors keep what that leaves.
    """
    slopes = np.concatenate([fixed, moving], axis=2, dtype=np.float32, casting="same_kind")
    flat, single = slopes.reshape(-1, slopes.shape[2]), curvature.astype(np.float32)
    return flat.T @ (single @ slopes).reshape(flat.shape), flat.T @ gradient.reshape(-1).astype(np.float32)


def _with_priors(system: System, state: State, weights: Weights) -> System:
    frames, units = state.expression.shape
    shared = np.append(np.full(len(state.identity), weights.identity), weights.log_scale)[: len(system.shared)]
    known = np.append(state.identity, np.log(state.scale))[: len(shared)]
    expression = np.broadcast_to(weights.expression / frames / state.spread**2, units)
    framed, framed_gradient = system.framed.copy(), system.framed_gradient.copy()
    framed[:, np.arange(units), np.arange(units)] += expression
    framed_gradient[:, :units] += expression * state.expression
    prior = 0.5 * weights.identity * float((state.identity**2).sum()) + 0.5 * float((expression * state.expression**2).sum())
    prior += 0.5 * weights.log_scale * float(np.log(state.scale) ** 2)
    return replace(
        system,
        shared=system.shared + np.diag(shared),
        framed=framed,
        shared_gradient=system.shared_gradient + shared * known,
        framed_gradient=framed_gradient,
        cost=system.cost + prior,
    )
