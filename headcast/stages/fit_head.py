"""fit_head: landmarks and cameras → the parametric head of every frame, for driver and surface."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headcast.config import Fitting
from headcast.errors import CaptureError
from headcast.fitting.fit import Fitted, fit
from headcast.formats.frames import read_cameras
from headcast.formats.track import read_head_params, read_landmarks, write_head_params
from headcast.heads import HeadModel, load_head_model
from headcast.imaging.landmarks import Landmarks
from headcast.process.command import Progress


@dataclass(frozen=True)
class Inputs:
    """Landmarks, cameras and model; the two products to write; a sequence whose identity to share, if any."""

    cameras: Path
    landmarks: Path
    model: Path
    params: Path
    surface: Path
    identity: Path | None = None


def run(inputs: Inputs, fitting: Fitting, progress: Progress) -> Path:
    """Fit jointly over frames and views; one rigid track serves expression driver and surface."""
    cameras, landmarks = read_cameras(inputs.cameras), read_landmarks(inputs.landmarks)
    require_faces(landmarks, fitting.max_missing_frames, inputs.landmarks)
    model = load_head_model(fitting.model, cache=inputs.model)
    shared = read_head_params(inputs.identity)[0] if inputs.identity else None
    fitted = fit(
        landmarks,
        cameras,
        model,
        max_iterations=fitting.max_iterations,
        identity=None if shared is None else shared.identity,
        scale=None if shared is None else shared.scale,
        progress=progress,
    )
    facts = describe(fitted, model, next(iter(cameras.values())).width)
    vertices = model.vertices(fitted.parameters).numpy()
    write_head_params(inputs.params, fitted.parameters, facts)
    write_head_params(inputs.surface, fitted.parameters, facts, vertices)
    return inputs.params


def require_faces(landmarks: Landmarks, allowed: float, path: Path) -> None:
    """``CaptureError`` when more than the ``allowed`` share of frames shows no face in any view; a few lie between the others."""
    missing = np.flatnonzero(~np.isfinite(landmarks.points).all(-1).any((1, 2)))
    if len(missing) > allowed * len(landmarks.points):
        raise CaptureError(
            path,
            f"no face found in any view of frame {missing[0]} ({len(missing)} of {len(landmarks.points)} frames)",
            f"look at the images; check capture and rotation (fitting.max_missing_frames allows a share of {allowed:g})",
        )


def describe(fitted: Fitted, model: HeadModel, size: int) -> dict[str, Any]:
    """What a reader needs to know about a fit besides its numbers."""
    error = np.asarray(fitted.reprojection_px, np.float64)
    return {
        "model": model.name,
        "licence": model.licence,
        "redistributable": model.redistributable,
        "sources": dict(model.sources),
        "frames": int(fitted.parameters.expression.shape[0]),
        "expression_names": list(model.expression_names),
        "reprojection_percent": round(float(np.nanmean(error)) / size * 100, 4),
    }
