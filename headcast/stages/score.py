"""score: every stage of a sequence against ground truth, where the capture carries it; null where it does not."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image

from headcast.avatar.avatar import Avatar
from headcast.avatar.canonical import skull_track
from headcast.capture.camera import Camera
from headcast.config import Fitting
from headcast.evaluation import stage_scores as scoring
from headcast.evaluation.strand_metrics import line_angles_deg
from headcast.evaluation.strand_pictures import strand_sheet
from headcast.evaluation.summary import clean
from headcast.evaluation.surface_scores import FaceView, expression_correlation, face_vertices, jitter_mm, score_surface
from headcast.evaluation.truth_crop import inside_frame, orientation_to_crop, to_crop
from headcast.formats.atomic import atomic_path, write_json
from headcast.formats.avatar_file import read_avatar
from headcast.formats.frames import Images, read_cameras, read_images
from headcast.formats.ground_truth import GroundTruth, open_ground_truth
from headcast.formats.hair_file import read_hair, read_hair_surface
from headcast.formats.maps import read_masks, read_mattes, read_orientations
from headcast.formats.track import read_head_params, read_landmarks, read_surface
from headcast.geometry.rotations import axis_angle_to_matrix
from headcast.heads import load_head_model
from headcast.process.command import Progress
from headcast.stages.evaluate import strand_figures, tracked_pose

FIGURES = {
    "matting": ("mean_abs_error", "band_error"),
    "labels": ("hair_iou", "hair_iou_worst_view", "face_iou", "face_iou_worst_view"),
    "orientation": ("median_deg", "p90_deg", "coverage"),
    "landmarks": ("nme_percent", "jaw_nme_percent", "recall", "wild"),
    "fit": ("surface_median_mm", "surface_p90_mm", "reprojection_percent", "jitter_mm", "expression_correlation"),
    "hair_strands": (
        *(f"{figure}_{pair}" for pair in ("2mm_20deg", "3mm_30deg", "4mm_40deg") for figure in ("precision", "recall")),
        *("inside_head", "field_median_deg", "field_p90_deg", "field_near_hair"),
    ),
    "strands": ("precision_4mm_40deg", "recall_4mm_40deg"),
}
JPEG_QUALITY = 88
MOST_VOXELS = 10_000
"""So many voxels of the hair's surface, evenly chosen, have their direction compared."""


@dataclass(frozen=True)
class Inputs:
    """The products of one sequence, its avatar, and where ground truth would be; figures and picture to write."""

    images: Path
    cameras: Path
    background: Path
    mattes: Path
    masks: Path
    orientation: Path
    landmarks: Path
    surface: Path
    params: Path
    model: Path
    hair: Path
    avatar: Path
    truth: Path
    sequence: str
    output: Path
    picture: Path


def run(inputs: Inputs, fitting: Fitting, progress: Progress) -> Path:
    """Score matting, labels, orientation, landmarks, fit and strands; show the strands beside the true ones."""
    truth = open_ground_truth(inputs.truth)
    avatar = read_avatar(inputs.avatar)
    scores: dict[str, Any] = {stage: dict.fromkeys(names) for stage, names in FIGURES.items()}
    if truth is not None:
        maps = Maps(inputs, truth)
        parts = {
            "matting": lambda: scoring.score_matting(maps.mattes()),
            "labels": lambda: scoring.score_labels(maps.labels()),
            "orientation": lambda: scoring.score_orientation(maps.orientation_errors()),
            "landmarks": lambda: score_landmarks(inputs, truth, maps),
            "fit": lambda: score_fit(inputs, truth, maps, fitting.model),
            "hair_strands": lambda: score_grown(inputs, truth),
            "strands": lambda: score_strands(inputs, truth, avatar),
        }
        for number, (stage, measure) in enumerate(parts.items(), start=1):
            scores[stage] |= clean(measure())
            progress(number, len(parts), stage)
    with atomic_path(inputs.picture) as temporary:
        temporary.write_bytes(jpeg(strands_shown(inputs, truth, avatar)))
    return write_json(inputs.output, scores)


class Maps:
    """Estimates beside truth, warped into the working crop, one view at a time."""

    def __init__(self, inputs: Inputs, truth: GroundTruth) -> None:
        self.images: Images = read_images(inputs.images)
        self.cameras, self.raw = read_cameras(inputs.cameras), read_cameras(inputs.cameras, "raw")
        self._truth, self._sequence = truth, inputs.sequence
        self._mattes, self._masks = read_mattes(inputs.mattes), read_masks(inputs.masks)
        self._orientations = read_orientations(inputs.orientation)

    def mattes(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Estimated alpha, true alpha, inside the raw frame."""
        for frame, serial in self.images.views():
            alpha = self._cropped("alpha", frame, serial)
            if alpha is not None:
                yield self._mattes.alpha(frame, serial) / 255, alpha, self._inside(serial)

    def labels(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
        """Estimated and true hair, estimated and true face, inside the raw frame."""
        for frame, serial in self.images.views():
            hair, face = self._cropped("hair", frame, serial), self._cropped("face", frame, serial)
            if hair is not None and face is not None:
                labels = self._masks.labels(frame, serial)
                yield (labels == 3).astype(float), hair, (labels == 2).astype(float), face, self._inside(serial)

    def orientation_errors(self) -> Iterator[np.ndarray]:
        """Angular errors (degrees) of every view that has true orientation."""
        for frame, serial in self.images.views():
            true_angle, true_confidence = (self._true(name, frame, serial) for name in ("orientation", "confidence"))
            hair = self._cropped("hair", frame, serial)
            if hair is None or true_angle is None or true_confidence is None:
                continue
            true_angle, true_confidence = orientation_to_crop(true_angle, true_confidence, self.raw[serial], self.cameras[serial])
            angle, _ = self._orientations.maps(frame, serial)
            yield scoring.orientation_errors_deg(angle.astype(np.float64), true_angle, true_confidence, hair, self._inside(serial))

    def face_views(self, frame: int) -> list[FaceView]:
        """What the cameras truly saw of the face in one frame, in raw pixels."""
        views = []
        for serial, camera in self.raw.items():
            face, depth = self._true("face", frame, serial), self._true("depth", frame, serial)
            if face is not None and depth is not None:
                views.append(FaceView(camera, face, depth))
        return views

    def _cropped(self, kind: str, frame: int, serial: str) -> np.ndarray | None:
        plane = self._true(kind, frame, serial)
        return None if plane is None else to_crop(plane, self.raw[serial], self.cameras[serial])

    def _true(self, kind: str, frame: int, serial: str) -> np.ndarray | None:
        """A plane of the truth of a working frame, which may be another frame of the raw video."""
        plane: np.ndarray | None = getattr(self._truth, kind)(self._sequence, serial, self.images.raw_frames[frame])
        return plane

    def _inside(self, serial: str) -> np.ndarray:
        return inside_frame(self.raw[serial], self.cameras[serial])


def score_landmarks(inputs: Inputs, truth: GroundTruth, maps: Maps) -> dict[str, float]:
    """2-D landmarks against projected true ones."""
    geometry = truth.geometry(inputs.sequence)
    if geometry is None:
        return {}
    landmarks = read_landmarks(inputs.landmarks)
    cameras = [maps.cameras[serial] for serial in landmarks.cameras]
    true_points = geometry["landmarks_3d"][maps.images.raw_frames].astype(np.float64)
    return scoring.score_landmarks(landmarks.points, true_points, cameras)


def score_fit(inputs: Inputs, truth: GroundTruth, maps: Maps, name: str) -> dict[str, float]:
    """Fitted surface, reprojection and steadiness."""
    parameters, _ = read_head_params(inputs.surface)
    vertices, model = read_surface(inputs.surface), load_head_model(name, cache=inputs.model)
    landmarks = read_landmarks(inputs.landmarks)
    fitted = model.landmarks(torch.from_numpy(vertices).double()).numpy()
    cameras: list[Camera] = [maps.cameras[serial] for serial in landmarks.cameras]
    figures = {"reprojection_percent": scoring.score_reprojection(fitted, landmarks.points, cameras)}
    geometry = truth.geometry(inputs.sequence)
    if geometry is None:
        return figures
    frames_of_truth = maps.images.raw_frames
    true_vertices = geometry["vertices"][frames_of_truth].astype(np.float64)
    face = face_vertices(true_vertices[0], maps.face_views(0))
    outer = model.faces[~model.mouth_interior[model.faces].any(1)]
    frames = ((true[face], fitted_to.astype(np.float64)) for true, fitted_to in zip(true_vertices, vertices, strict=True))
    true_motion = rigid(geometry["head_rotation"][frames_of_truth], geometry["head_translation"][frames_of_truth])
    motion = rigid(axis_angle_to_matrix(parameters.rotation).numpy(), parameters.translation.numpy())
    figures |= score_surface(frames, outer)
    figures["jitter_mm"] = jitter_mm(motion, true_motion, true_vertices[0][face])
    names = truth.expression_names()
    if names is not None and "expression" in geometry:
        code, true_code = parameters.expression.numpy(), geometry["expression"][frames_of_truth]
        figures["expression_correlation"] = expression_correlation(code, model.expression_names, true_code, names)
    return figures


def score_grown(inputs: Inputs, truth: GroundTruth) -> dict[str, float]:
    """Strands as training starts with them, and the field they were grown in, against the true strands of the first frame.

    Everything is compared in the skull's frame as fitted. ``field_near_hair`` is the share of the surface's voxels that have true
    hair within reach; the angles are those of these voxels.
    """
    groom, product = read_hair(inputs.hair)
    figures = {"inside_head": float(product.facts["inside_head"])}
    true = true_strands(truth, inputs.sequence)
    if true is None:
        return figures
    local = true_in_skull_frame(inputs, true)
    found = strand_figures(groom.points.numpy(), local)
    figures |= {name: value for name, value in found.items() if name in FIGURES["hair_strands"]}
    surface = read_hair_surface(inputs.hair)
    if surface is None:
        return figures
    some = np.unique(np.linspace(0, len(surface.points) - 1, min(len(surface.points), MOST_VOXELS)).round().astype(int))
    return figures | scoring.score_field(line_angles_deg(surface.directions.numpy()[some], surface.points.numpy()[some], local))


def score_strands(inputs: Inputs, truth: GroundTruth, avatar: Avatar) -> dict[str, float]:
    """Strands of the avatar at rest against the true ones of the first frame."""
    true = true_strands(truth, inputs.sequence)
    if true is None or avatar.hair is None:
        return {}
    pose = tracked_pose(avatar, inputs.sequence, 0)
    figures = strand_figures((avatar.hair.points.detach() @ pose.rotation.T + pose.translation).numpy(), true)
    return {name: figures[name] for name in FIGURES["strands"]}


def true_strands(truth: GroundTruth | None, sequence: str) -> Float[np.ndarray, "S P 3"] | None:
    """The true strands (m, world) of the first frame; None where the capture does not carry them."""
    strands = None if truth is None else truth.strands(sequence)
    return None if strands is None else strands[0]


def true_in_skull_frame(inputs: Inputs, strands: Float[np.ndarray, "S P 3"]) -> Float[np.ndarray, "S P 3"]:
    """World points (m) of the first frame as the fitted skull has them."""
    rotations, translations = skull_track(read_head_params(inputs.params)[0])
    return (strands - translations[0].numpy()) @ rotations[0].numpy()


def strands_shown(inputs: Inputs, truth: GroundTruth | None, avatar: Avatar) -> UInt8[np.ndarray, "H W 3"]:
    """Strands as grown, as trained and as they truly are, from three sides."""
    rows = [("start of training", read_hair(inputs.hair)[0].points.numpy())]
    if avatar.hair is not None:
        rows.append(("trained", avatar.hair.points.detach().numpy()))
    true = true_strands(truth, inputs.sequence)
    if true is not None:
        rows.append(("truth", true_in_skull_frame(inputs, true)))
    return strand_sheet(rows, avatar.canonical.vertices.numpy(), avatar.canonical.faces.numpy())


def jpeg(picture: UInt8[np.ndarray, "H W 3"]) -> bytes:
    """The picture as a file."""
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, format="jpeg", quality=JPEG_QUALITY)
    return stream.getvalue()


def rigid(rotation: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """Rotations F 3 3 and translations F 3 as 4×4 transforms."""
    motion = np.tile(np.eye(4), (len(rotation), 1, 1))
    motion[:, :3, :3], motion[:, :3, 3] = rotation, translation
    return motion
