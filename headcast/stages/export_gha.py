"""export_gha: the products of a sequence in the exact layout of Gaussian Head Avatar, for tools that read it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from headcast.capture.gha import LANDMARKS_3D
from headcast.config import Fitting
from headcast.delivery.gha_layout import View, plate_files, track_files, view_files
from headcast.formats.frames import Background, Images, read_background, read_cameras, read_images
from headcast.formats.manifest import write_product
from headcast.formats.maps import Masks, Mattes, Orientations, read_masks, read_mattes, read_orientations
from headcast.formats.track import read_head_params, read_landmarks, read_surface
from headcast.heads import load_head_model
from headcast.process.command import Progress
from headcast.stages.views import write_members


@dataclass(frozen=True)
class Inputs:
    """Every product before training; the manifest beside which ``{subject}/sequences/{sequence}/…`` is written."""

    subject: str
    sequence: str
    images: Path
    cameras: Path
    background: Path
    mattes: Path
    masks: Path
    orientation: Path
    landmarks: Path
    surface: Path
    model: Path
    output: Path
    workers: int = 1


Sources = tuple[Path, Path, Path, Path, Path, Path, Path]


def run(inputs: Inputs, fitting: Fitting, progress: Progress) -> Path:
    """Write pictures, cameras, masks, orientation, landmarks and the track of every frame."""
    sources = (inputs.images, inputs.cameras, inputs.background, inputs.mattes, inputs.masks, inputs.orientation, inputs.landmarks)
    below, images = f"{inputs.subject}/sequences/{inputs.sequence}", read_images(inputs.images)
    jobs: list[tuple[Any, ...]] = [(below, sources, frame, serial) for frame, serial in images.views()]
    with write_product(inputs.output, "export_gha") as writer:
        writer.facts |= {"frames": images.frames, "cameras": images.serials, "times_s": images.times}
        write_members(writer, export_view, jobs, inputs.workers, progress)
        background = read_background(inputs.background)
        for serial in images.serials:
            for name, data in plate_files(background.plate(serial), serial).items():
                writer.add_bytes(f"{below}/{name}", data)
        for name, data in export_track(inputs, fitting.model).items():
            writer.add_bytes(f"{below}/{name}", data)
    return inputs.output


def export_view(below: str, sources: Sources, frame: int, serial: str) -> dict[str, bytes]:
    """The files of one view by member name."""
    opened = _open(*sources)
    angle, confidence = opened.orientations.maps(frame, serial)
    view = View(
        opened.images.image(frame, serial),
        opened.background.visible(serial),
        opened.mattes.alpha(frame, serial),
        opened.masks.labels(frame, serial),
        opened.masks.hair(frame, serial),
        angle,
        confidence,
        opened.points[frame, opened.images.serials.index(serial)],
        opened.cameras[serial],
    )
    return {f"{below}/{name}": data for name, data in view_files(view, f"{frame:04d}", serial).items()}


def export_track(inputs: Inputs, name: str) -> dict[str, bytes]:
    """Codes, landmarks and vertices of every frame, in the basis of the model that was fitted."""
    parameters, _ = read_head_params(inputs.surface)
    vertices, model = read_surface(inputs.surface), load_head_model(name, cache=inputs.model)
    landmarks = model.landmarks(torch.from_numpy(vertices).double()).numpy()[:, LANDMARKS_3D]
    files: dict[str, bytes] = {}
    for frame in range(len(vertices)):
        codes = {
            "identity": parameters.identity.numpy(),
            "scale": parameters.scale.numpy(),
            **{key: getattr(parameters, key)[frame].numpy() for key in ("expression", "rotation", "translation")},
        }
        files |= track_files(f"{frame:04d}", codes, landmarks[frame], vertices[frame], name)
    return files


class _Opened:
    """The products, opened once in each process."""

    def __init__(
        self, images: Path, cameras: Path, background: Path, mattes: Path, masks: Path, orientation: Path, landmarks: Path
    ) -> None:
        self.images: Images = read_images(images)
        self.cameras = read_cameras(cameras)
        self.background: Background = read_background(background)
        self.mattes: Mattes = read_mattes(mattes)
        self.masks: Masks = read_masks(masks)
        self.orientations: Orientations = read_orientations(orientation)
        found = read_landmarks(landmarks)
        self.points = np.concatenate([found.points, found.confidence[..., None]], axis=-1).astype(np.float64)


_open = cache(_Opened)
