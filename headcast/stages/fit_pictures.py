"""fit_pictures: what the fit looks like, over the pictures, over time and all around; a failed frame is marked and named."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from headcast.capture.camera import Camera
from headcast.config import Fitting
from headcast.doctor import fit_figures as figures
from headcast.doctor.fit_figures import FrameFit, OverlayView
from headcast.evaluation.summary import clean
from headcast.fitting.fit import Fitted, describe
from headcast.formats.atomic import atomic_path, write_json
from headcast.formats.frames import Images, read_cameras, read_images
from headcast.formats.manifest import png
from headcast.formats.track import read_head_params, read_landmarks, read_surface
from headcast.formats.video import write_video
from headcast.geometry.rotations import axis_angle_to_matrix
from headcast.heads import HeadModel, load_head_model
from headcast.imaging.landmarks import Landmarks, eye_distances
from headcast.process.command import Progress

TURN_FRAMES, TURN_SIZE, TURN_FPS = 48, 320, 24.0
JPEG_QUALITY = 88


@dataclass(frozen=True)
class Inputs:
    """A fitted sequence; the list of its frames, the sheet, the two plots and the film to write."""

    images: Path
    cameras: Path
    landmarks: Path
    surface: Path
    model: Path
    frames: Path
    overlay: Path
    residuals: Path
    parameters: Path
    turntable: Path


def run(inputs: Inputs, fitting: Fitting, progress: Progress) -> Path:
    """Judge every frame of the fit, draw it over its views, its residuals and parameters over time, and a turn about it."""
    images, landmarks, model = (
        read_images(inputs.images),
        read_landmarks(inputs.landmarks),
        load_head_model(fitting.model, inputs.model),
    )
    parameters, facts = read_head_params(inputs.surface)
    vertices, cameras = read_surface(inputs.surface), read_cameras(inputs.cameras)
    refined = facts.get("cameras", {})
    fitted = describe(parameters, landmarks, cameras, model)
    fits = figures.judge(fitted.reprojection_px, eye_distances(landmarks.points), images.times)
    _write_jpeg(inputs.overlay, sheet(images, landmarks, cameras, fitted, vertices, model, fits, refined, progress))
    failed = [fit.frame for fit in fits if fit.failed]
    _write(inputs.residuals, png(figures.residual_plot(fits, fitted.reprojection_px, landmarks.cameras)))
    _write(inputs.parameters, png(figures.parameter_plot(parameters, model, failed)))
    best = min(fits, key=lambda fit: np.nan_to_num(fit.share, nan=np.inf)).frame
    rotation = axis_angle_to_matrix(parameters.rotation[best]).numpy()
    turn = figures.turntable(vertices[best].astype(np.float64), rotation, model, TURN_FRAMES, TURN_SIZE)
    write_video(inputs.turntable, turn, TURN_FPS)
    return write_record(inputs.frames, fits, refined)


def sheet(
    images: Images,
    landmarks: Landmarks,
    cameras: Mapping[str, Camera],
    fitted: Fitted,
    vertices: Float[np.ndarray, "F V 3"],
    model: HeadModel,
    fits: Sequence[FrameFit],
    refined: Mapping[str, Any],
    progress: Progress,
) -> UInt8[np.ndarray, "H W 3"]:
    """Every view of some frames, failed ones among them."""
    chosen = figures.shown_frames(fits, len(landmarks.cameras))
    tiles = []
    for done, frame in enumerate(chosen, start=1):
        for column, serial in enumerate(landmarks.cameras):
            view = OverlayView(
                images.image(frame, serial),
                cameras[serial],
                vertices[frame],
                landmarks.points[frame, column],
                cameras[serial].project(fitted.landmarks_3d[frame]),
            )
            drawn = figures.overlay(view, model, fits[frame].failed)
            tiles.append((_label(serial, fits[frame], float(fitted.reprojection_px[frame, column]), refined.get(serial)), drawn))
        progress(done, len(chosen))
    return figures.overlay_sheet(tiles, len(landmarks.cameras))


def _label(serial: str, fit: FrameFit, residual_px: float, refined: Mapping[str, Any] | None) -> str:
    said = f"{residual_px:.1f} px" if np.isfinite(residual_px) else "no landmarks"
    if refined and refined["before_px"] is not None:
        said += f" · pose {refined['before_px']:.1f} → {refined['after_px']:.1f} px"
    return f"{serial} · {fit.frame} · {said}" + (" · FAILED" if fit.failed else "")


def write_record(path: Path, fits: Sequence[FrameFit], refined: Mapping[str, Any]) -> Path:
    """Every frame with its residual, the failed ones named with the reason; the cameras whose poses were refined for the fit."""
    content = {
        "limit": figures.LARGE_RESIDUAL,
        "share": "mean residual of all views with landmarks as share of the distance of the outer eye corners",
        "failed": [{"frame": fit.frame, "why": fit.state} for fit in fits if fit.failed],
        "frames": [asdict(fit) for fit in fits],
        "refined_cameras": dict(refined),
    }
    return write_json(path, clean(content))


def _write_jpeg(path: Path, picture: UInt8[np.ndarray, "H W 3"]) -> None:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, format="jpeg", quality=JPEG_QUALITY)
    _write(path, stream.getvalue())


def _write(path: Path, data: bytes) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)
