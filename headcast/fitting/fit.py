"""Fit a parametric head jointly to the landmarks of all frames and views.

One identity and one scale for all frames; expression within bounds, rotation and translation per frame, smooth over time; robust
reprojection of the 68 and the dense 478 points (Geman & McClure 1987). Placement starts from triangulated points, so any world
frame works. Identity and scale may be given, to share them between sequences of a subject.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial.transform import Rotation
from torch import Tensor

from headcast.capture.camera import Camera
from headcast.errors import CaptureError
from headcast.fitting.gaze import eye_poses
from headcast.fitting.initial import initial_placement
from headcast.fitting.normal import State, Weights
from headcast.fitting.observations import Observations, observe
from headcast.fitting.patches import Pictures
from headcast.fitting.photometric import refine
from headcast.fitting.silhouette import Mattes, shape
from headcast.fitting.solver import minimise
from headcast.heads.model import HeadModel, HeadParameters, neutral_parameters
from headcast.imaging.landmarks import Landmarks, eye_distances, projections, reproject

logger = logging.getLogger(__name__)

COARSE_KERNEL = 0.02  # m, of the first stage, which only places the head
PLACING_ITERATIONS = 6
KEY_FRAMES = 20
ONE_CAMERA = Weights(expression=16.0, expression_smooth=8.0, motion_smooth=0.8, log_scale=1e6)
"""One camera sees a small head nearby as a large one far away, so the head keeps the model's size; and what moves along the line of
sight it hardly sees, so more is left to the priors (measured: the expressions of a synthetic performance are half as wrong)."""


@dataclass(frozen=True)
class Fitted:
    """A fitted sequence.

    ``parameters`` (float64); ``reprojection_px`` F C, the mean distance of the 68 projected model points from the detected ones
    (NaN where a view shows none); ``residuals`` F C 68, each point's distance (px); ``landmarks_3d`` F 68 3, the model's points
    (m, world).
    """

    parameters: HeadParameters
    reprojection_px: Float[np.ndarray, "F C"]
    residuals: Float[np.ndarray, "F C 68"]
    landmarks_3d: Float[np.ndarray, "F 68 3"]


def _silent(done: int, total: int) -> None:
    """Report nothing."""


def fit(
    landmarks: Landmarks,
    cameras: Mapping[str, Camera],
    model: HeadModel,
    *,
    max_iterations: int = 60,
    identity: Float[Tensor, "I"] | None = None,
    scale: Float[Tensor, ""] | None = None,
    weights: Weights | None = None,
    pictures: Pictures | None = None,
    mattes: Mattes | None = None,
    progress: Callable[[int, int], None] = _silent,
) -> Fitted:
    """Fit ``model`` to all frames and views.

    ``identity`` (and ``scale``) hold these fixed. With ``pictures`` expression and placement are refined until skin keeps its looks
    (`headcast.fitting.photometric`); with ``mattes`` the outline of the face shapes the identity, unless that is given
    (`headcast.fitting.silhouette`). Raises ``CaptureError`` when no frame shows a face or an identity of another
    size is given, ``Diverged`` when the cost is not finite.
    """
    weights = weights or (Weights() if len(landmarks.cameras) > 1 else ONE_CAMERA)
    if identity is not None and len(identity) != model.identity_size:
        raise CaptureError("identity", f"has {len(identity)} components, the {model.name} model {model.identity_size}")
    observations = observe(landmarks, cameras, model)
    distance = eye_distances(landmarks.points)
    state = _start(observations, distance, model, identity, scale)
    views = [cameras[serial] for serial in landmarks.cameras]
    if identity is None:
        state = _share(state, observations, weights, max_iterations, progress)
    if identity is None and mattes is not None:
        state = shape(state, observations, weights, mattes, views, model, lambda some: parameters(some, None, model))
    if identity is not None or mattes is not None or len(state.expression) > KEY_FRAMES:
        state = _follow(state, observations, weights, max_iterations, progress)
    if pictures is not None:
        state = refine(state, observations, weights, pictures, views, model)
    eyes = eye_poses(landmarks, projections(views), state, model, distance)
    return describe(parameters(state, eyes, model), landmarks, cameras, model)


def _start(
    observations: Observations,
    eye_distance_px: Float[np.ndarray, "F"],
    model: HeadModel,
    identity: Float[Tensor, "I"] | None,
    scale: Float[Tensor, ""] | None,
) -> State:
    known = np.zeros(model.identity_size) if identity is None else identity.detach().cpu().double().numpy()
    rest = observations.basis.rest(known)
    size, rotation, translation = initial_placement(observations, rest, eye_distance_px)
    if scale is not None:
        translation = translation + (size - float(scale)) * rotation @ rest.mean(axis=0)
        size = float(scale)
    expression = np.zeros((len(rotation), model.expression_size))
    return State(known, expression, rotation, translation, size, model.expression_bounds, model.expression_spread)


def _stages(weights: Weights) -> tuple[Weights, Weights]:
    """First place the head with a wide kernel and little shape, then all."""
    return replace(weights, kernel=COARSE_KERNEL, identity=50.0 * weights.identity, expression=50.0 * weights.expression), weights


def _share(
    state: State, observations: Observations, weights: Weights, iterations: int, progress: Callable[[int, int], None]
) -> State:
    """Identity and scale from at most `KEY_FRAMES` frames spread over the sequence; too far apart to be smooth in time."""
    frames = len(state.expression)
    keys = np.unique(np.linspace(0, frames - 1, min(frames, KEY_FRAMES)).round().astype(int))
    chosen, some = observations.at_frames(keys), state.at_frames(keys)
    still = replace(weights, expression_smooth=0.0, motion_smooth=0.0) if len(keys) < frames else weights
    for stage, limit in zip(_stages(still), (PLACING_ITERATIONS, iterations), strict=True):
        some = minimise(some, chosen, stage, True, min(limit, iterations), progress)
    nearest = np.abs(np.arange(frames)[:, None] - keys).argmin(axis=1)
    moved = state.translation + (state.scale - some.scale) * state.rotation @ observations.basis.rest(some.identity).mean(axis=0)
    if len(keys) == frames:
        return some
    return replace(state, identity=some.identity, scale=some.scale, expression=some.expression[nearest], translation=moved)


def _follow(
    state: State, observations: Observations, weights: Weights, iterations: int, progress: Callable[[int, int], None]
) -> State:
    """Expression and placement of every frame, identity and scale being known."""
    for stage, limit in zip(_stages(weights), (PLACING_ITERATIONS, iterations), strict=True):
        state = minimise(state, observations, stage, False, min(limit, iterations), progress)
    return state


def parameters(state: State, eye_pose: Float[np.ndarray, "F 6"] | None, model: HeadModel) -> HeadParameters:
    """The solution as head parameters, eyes at rest where nothing is given; ``neck_pose`` keeps the bust at the mean rotation."""
    rotation = Rotation.from_matrix(state.rotation)
    bust = rotation.mean()
    found = {
        "identity": state.identity,
        "expression": state.expression,
        "neck_pose": (bust.inv() * rotation).as_rotvec(),
        "eye_pose": np.zeros((len(state.expression), 6)) if eye_pose is None else eye_pose,
        "rotation": rotation.as_rotvec(),
        "translation": state.translation,
        "scale": np.asarray(state.scale),
    }
    rest = neutral_parameters(model, len(state.expression))
    return replace(rest, **{name: torch.from_numpy(np.array(value, dtype=np.float64)) for name, value in found.items()})


def describe(found: HeadParameters, landmarks: Landmarks, cameras: Mapping[str, Camera], model: HeadModel) -> Fitted:
    """The fitted landmarks and how far their projections lie from the detected ones."""
    points = model.landmarks(model.vertices(found)).numpy()
    matrices = projections([cameras[serial] for serial in landmarks.cameras])
    pixels = np.stack([reproject(frame, matrices) for frame in points])
    residuals = np.linalg.norm(pixels - landmarks.points, axis=-1)
    seen = np.isfinite(residuals)
    mean = np.where(seen.any(-1), np.nansum(residuals, axis=-1) / np.maximum(seen.sum(-1), 1), np.nan)
    logger.info("fit: mean reprojection error %.2f px", float(np.nanmean(mean)))
    return Fitted(found, mean, residuals, points)
