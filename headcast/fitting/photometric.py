"""Photometric refinement: a spot of skin looks the same in all frames and views, so that is where it is.

Landmarks place a face well on average, but what they say of it follows its turning and its expressions. Patches of skin
(`headcast.fitting.patches`) tell by how far each point misses the place where it looks as it does elsewhere (Lucas & Kanade 1981).
A point may lie off the model by a shift that is the same in all frames: without it a shape that is a little wrong would look like
motion whenever the head turns. These shifts are found together with the motion of some frames, and eliminated first, as in bundle
adjustment (Triggs et al. 2000); the other frames follow.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from headcast.capture.camera import Camera
from headcast.fitting.normal import State, Weights, assemble, moving_columns
from headcast.fitting.observations import Observations, Skin
from headcast.fitting.patches import Patches, Pictures, choose, look, mean_looks, reduced
from headcast.fitting.solver import Held, banded, minimise, smoothness, smoothness_gradient, within_bounds
from headcast.heads.model import HeadModel

logger = logging.getLogger(__name__)

MIN_CAMERAS, MIN_FRAMES = 4, 3
KEY_FRAMES = 24  # of which motion and shifts are found together
ROUNDS = 6  # looks at the pictures, and a Gauss-Newton step after each
FOLLOWING_ROUNDS, FOLLOWING_VIEWS = 4, 8  # of the other frames; reading pictures is what takes long
OFF_MODEL = 0.002  # m: how far skin usually lies off the model
PRIOR = 4.0  # times the expressions' pull to rest that the landmarks alone are fitted with
DAMPING = 1e-3


def refine(
    state: State, observations: Observations, weights: Weights, pictures: Pictures, cameras: Sequence[Camera], model: HeadModel
) -> State:
    """Expression and placement of every frame so that skin keeps its looks; identity and size stay.

    Fewer than `MIN_CAMERAS` views or `MIN_FRAMES` frames cannot tell shape from motion: the state is returned as it came.
    """
    frames = len(state.expression)
    if len(cameras) < MIN_CAMERAS or frames < MIN_FRAMES:
        return state
    weights = replace(weights, expression=PRIOR * weights.expression)
    patches = choose(model, state.identity)
    places, all_views = patches.placed(state)[0], range(len(cameras))
    keys = np.unique(np.linspace(0, frames - 1, min(frames, KEY_FRAMES)).round().astype(int))
    by_key = reduced(pictures, cameras, {int(key): places[key] for key in keys}, all_views)
    some, seen, shown = state.at_frames(keys), observations.at_frames(keys), list(by_key.values())
    apart = weights if len(keys) == frames else replace(weights, expression_smooth=0.0, motion_smooth=0.0)
    for _ in range(ROUNDS):
        skin = look(some, patches, shown, mean_looks(some, patches, shown))
        some, patches = together(some, patches, replace(seen, skin=skin), skin, apart)
    logger.info("photometric: skin lies %.2f mm off the model", 1e3 * float(np.median(np.linalg.norm(patches.off, axis=1))))
    if len(keys) == frames:
        return some
    mean, few = mean_looks(some, patches, shown), spread(cameras, places.mean(axis=(0, 1)), FOLLOWING_VIEWS)
    rest = reduced(pictures, cameras, {f: places[f] for f in range(frames) if f not in by_key}, few)
    greys = [[by_key[f][view] for view in few] if f in by_key else rest[f] for f in range(frames)]
    for _ in range(FOLLOWING_ROUNDS):
        skin = look(state, patches, greys, mean)
        state = minimise(state, replace(observations, skin=skin), weights, False, 1, lambda *_: None)
    return state


def spread(cameras: Sequence[Camera], centre: Float[np.ndarray, "3"], count: int) -> list[int]:
    """At most ``count`` cameras, as far from each other as seen from the ``centre`` (m, world) and the middle one among them."""
    sight = np.stack([camera.center - centre for camera in cameras])
    sight /= np.linalg.norm(sight, axis=1, keepdims=True)
    chosen = [int((sight @ sight.mean(axis=0)).argmax())]
    while len(chosen) < min(count, len(cameras)):
        chosen.append(int((sight @ sight[chosen].T).max(axis=1).argmin()))
    return sorted(chosen)


def together(state: State, patches: Patches, observations: Observations, skin: Skin, weights: Weights) -> tuple[State, Patches]:
    """One Gauss-Newton step of all frames and of what the points lie off the model, the points eliminated first.

    ``observations`` hold ``skin`` about the present ``patches``.
    """
    frames, turn = len(state.expression), state.scale * state.rotation
    system = assemble(state, observations, weights, False)
    gradient = frames * (system.framed_gradient + smoothness_gradient(state, weights))
    bent = skin.curvature @ turn[:, None]
    inverse = np.linalg.inv(np.einsum("fji,fnjk->nik", turn, bent) + np.eye(3) / OFF_MODEL**2)
    missed = np.einsum("fnij,fnj->fni", skin.curvature, patches.placed(state)[0] - skin.places) - skin.pull
    own = np.einsum("fji,fnj->ni", turn, missed) + patches.off / OFF_MODEL**2
    slopes = np.stack([_slopes(state, patches, f) for f in range(frames)])
    mixed = (slopes.transpose(0, 1, 3, 2) @ bent).transpose(0, 2, 1, 3).reshape(gradient.size, len(own), 3)
    eliminated = np.einsum("mnj,njk->mnk", mixed, inverse).reshape(gradient.size, -1)
    mixed = mixed.reshape(gradient.size, -1)
    normal = _dense(frames * system.framed, frames * smoothness(state, weights)) - eliminated @ mixed.T
    right = eliminated @ own.reshape(-1) - gradient.reshape(-1)

    def solve(held: Held) -> tuple[None, Float[np.ndarray, "F P"], Float[np.ndarray, "F P"]]:
        fixed, step = held[0].reshape(-1), held[1].reshape(-1).copy()
        free = np.flatnonzero(~fixed)
        damped = normal[np.ix_(free, free)] + DAMPING * np.eye(len(free))
        step[free] = np.linalg.solve(damped, (right - normal @ np.where(fixed, step, 0.0))[free])
        return None, step.reshape(gradient.shape), np.where(fixed, normal @ step - right, 0.0).reshape(gradient.shape)

    _, step = within_bounds(solve, state, -right.reshape(gradient.shape))
    off = patches.off - np.einsum("nij,nj->ni", inverse, own + (step.reshape(-1) @ mixed).reshape(-1, 3))
    return state.moved(np.zeros(0), step), replace(patches, off=off)


def _slopes(state: State, patches: Patches, frame: int) -> Float[np.ndarray, "N 3 P"]:
    """Derivatives of a frame's points (m, world) by expression, rotation and translation."""
    code = state.expression[frame]
    local = patches.points(state.identity, code[None])[0]
    moving = moving_columns(local, state.rotation[frame], state.scale)[..., 1:]
    by_expression = patches.slopes(state.identity, code)[..., len(state.identity) :]
    return state.scale * state.rotation[frame] @ np.concatenate([by_expression, moving], axis=2)


def _dense(framed: Float[np.ndarray, "F P P"], smooth: Float[np.ndarray, "P"]) -> Float[np.ndarray, "n n"]:
    """The blocks of the frames and their coupling over time as one symmetric matrix."""
    whole = np.zeros((framed.shape[0] * framed.shape[1],) * 2)
    for lag, diagonal in enumerate(banded(framed, smooth)):
        np.fill_diagonal(whole[lag:], diagonal[: len(whole) - lag])
    return whole + np.tril(whole, -1).T
