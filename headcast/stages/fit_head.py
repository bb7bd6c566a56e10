"""fit_head: landmarks and cameras → the parametric head of every frame, for driver and surface."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headcast.capture.camera import Camera
from headcast.config import Fitting
from headcast.errors import CaptureError
from headcast.fitting.cameras import CameraMove, CameraPrior, refine_cameras
from headcast.fitting.fit import Fitted, fit
from headcast.fitting.patches import Pictures
from headcast.fitting.silhouette import Mattes
from headcast.formats.frames import Images, read_cameras, read_images
from headcast.formats.maps import Mattes as MatteFiles
from headcast.formats.maps import read_mattes
from headcast.formats.track import read_detections, read_head_params, read_landmarks, write_head_params
from headcast.heads import HeadModel, load_head_model
from headcast.imaging.landmarks import Landmarks, consensus
from headcast.process.command import Progress


@dataclass(frozen=True)
class Inputs:
    """Images, cameras, landmarks and model; the two products to write; a sequence whose identity to share, and mattes, if any."""

    images: Path
    cameras: Path
    landmarks: Path
    model: Path
    params: Path
    surface: Path
    identity: Path | None = None
    mattes: Path | None = None


def run(inputs: Inputs, fitting: Fitting, progress: Progress) -> Path:
    """Fit jointly over frames and views; one rigid track serves expression driver and surface."""
    images, cameras, landmarks = read_images(inputs.images), read_cameras(inputs.cameras), read_landmarks(inputs.landmarks)
    require_faces(landmarks, fitting.max_missing_frames, inputs.landmarks)
    moves: dict[str, CameraMove] = {}
    if fitting.refine_cameras:
        detected = read_detections(inputs.landmarks)
        prior = CameraPrior(fitting.camera_rotation_deg, fitting.camera_translation_mm)
        cameras, moves = refine_cameras(detected, cameras, prior)
        landmarks = consensus(detected, cameras)
    model = load_head_model(fitting.model, cache=inputs.model)
    shared = read_head_params(inputs.identity)[0] if inputs.identity else None
    fitted = fit(
        landmarks,
        cameras,
        model,
        max_iterations=fitting.max_iterations,
        identity=None if shared is None else shared.identity,
        scale=None if shared is None else shared.scale,
        pictures=pictures(images, landmarks.cameras) if fitting.photometric else None,
        mattes=outlines(read_mattes(inputs.mattes), landmarks.cameras) if inputs.mattes else None,
        progress=progress,
    )
    facts = describe(fitted, model, next(iter(cameras.values())).width) | {"cameras": describe_cameras(moves, cameras)}
    vertices = model.vertices(fitted.parameters).numpy()
    write_head_params(inputs.params, fitted.parameters, facts)
    write_head_params(inputs.surface, fitted.parameters, facts, vertices)
    return inputs.params


def pictures(images: Images, serials: Sequence[str]) -> Pictures:
    """The image of a frame and a view, in the order of the landmarks' cameras."""
    return lambda frame, view: images.image(frame, serials[view])


def outlines(mattes: MatteFiles, serials: Sequence[str]) -> Mattes:
    """The mattes of a frame in the order of the landmarks' cameras."""
    return lambda frame: [mattes.alpha(frame, serial) for serial in serials]


def describe_cameras(moves: Mapping[str, CameraMove], cameras: Mapping[str, Camera]) -> dict[str, dict[str, Any]]:
    """Every refined camera: how far it was moved, its residual before and after (px; null without landmarks), and its pose."""
    told = {
        serial: {name: value if np.isfinite(value) else None for name, value in asdict(move).items()}
        for serial, move in moves.items()
    }
    return {serial: {**said, "world_to_camera": cameras[serial].world_to_camera.tolist()} for serial, said in told.items()}


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
