"""Gather the products of one or several sequences into the ``Views`` that trainers and evaluation read."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from headcast.config import HeldOut
from headcast.errors import CaptureError
from headcast.formats.frames import Images, read_background, read_cameras, read_images
from headcast.formats.manifest import read_product
from headcast.formats.maps import read_masks, read_mattes, read_orientations
from headcast.formats.track import read_head_params, read_landmarks
from headcast.heads.model import PER_FRAME, HeadParameters
from headcast.imaging.orientation_maps import resize_orientation
from headcast.imaging.resample import resize
from headcast.process.memory import require_memory
from headcast.training.samples import Views

BYTES_PER_PIXEL = 11
"""Image 3, matte, hair, labels and visible region 1 each, orientation 2 + 2."""
PEAK = 2.6
"""How often a view is held at the worst: twice while sequences are joined; then once here, once by the trainer, and once more there
as a picture on black, whole and at half the size."""
logger = logging.getLogger(__name__)

KINDS = {
    "images": "images",
    "cameras": "cameras",
    "background": "background",
    "mattes": "mattes",
    "masks": "masks",
    "landmarks": "landmarks",
    "orientation": "orientation_maps",
    "params": "head_params",
}


@dataclass(frozen=True)
class Sources:
    """Manifests of the products of one or several sequences, in the same order; the first is the avatar's own."""

    images: list[Path]
    cameras: list[Path]
    background: list[Path]
    mattes: list[Path]
    masks: list[Path]
    params: list[Path]
    landmarks: list[Path] | None = None
    orientation: list[Path] | None = None

    @classmethod
    def of(cls, inputs: Any) -> Sources:
        """The manifests that a stage's inputs name."""
        named: dict[str, Any] = {field.name: getattr(inputs, field.name, None) for field in fields(cls)}
        return cls(**named)

    def products(self) -> list[tuple[Path, str]]:
        """The manifest and the kind of every product."""
        return [(path, kind) for name, kind in KINDS.items() for path in getattr(self, name) or []]

    def digests(self) -> dict[str, list[str]]:
        """What the result depends on: a digest of every product."""
        given = {name: getattr(self, name) for name in KINDS if getattr(self, name)}
        return {name: [read_product(path, KINDS[name]).digest for path in paths] for name, paths in given.items()}

    @property
    def sequences(self) -> tuple[str, ...]:
        """Names of the sequences."""
        return tuple(path.parent.parent.name for path in self.images)


def gather(sources: Sources, held_out: HeldOut, size: int, section: str, most_frames: int | None = None) -> Views:
    """Read every view of every sequence at ``size`` px; the last frames of each sequence and the named cameras are held out.

    With ``most_frames`` only the first ones of each sequence are read; of one frame alone none is held out.
    ``OutOfResources`` before anything is read when they would not fit in memory; ``section`` is where their size is set.
    """
    found = [read_images(path) for path in sources.images]
    views = sum(_frames(images, most_frames) * len(images.serials) for images in found)
    todo = f"lower {section}.size or extraction.max_frames, or take fewer cameras"
    logger.info(require_memory(section, memory_of_views(views, size), f"{views} views of {size} px", todo))
    parts = [_sequence(sources, position, size, most_frames) for position in range(len(sources.images))]
    serials = sorted({serial for part in parts for serial in part["serials"]})
    absent = [serial for serial in held_out.cameras if serial not in serials]
    if len(absent) == len(held_out.cameras) and held_out.cameras:
        raise CaptureError("held_out.cameras", f"none of {held_out.cameras} is in the capture", f"choose from {serials}")
    counts = [part["frames"] for part in parts]
    offsets = np.cumsum([0, *counts])
    arrays: dict[str, Any] = {name: np.concatenate([part[name] for part in parts]) for name in PER_VIEW}
    arrays["camera"] = np.array(
        [serials.index(serial) for part in parts for _ in range(part["frames"]) for serial in part["serials"]]
    )
    arrays["frame"] = np.concatenate(
        [np.repeat(np.arange(count) + start, len(part["serials"])) for part, count, start in zip(parts, counts, offsets)]
    )
    arrays["sequence_of_frame"] = np.repeat(np.arange(len(parts)), counts)
    arrays["frame_in_sequence"] = np.concatenate([np.arange(count) for count in counts])
    arrays["time"] = np.concatenate([part["times"] for part in parts])
    arrays["held_out_camera"] = np.array([serial in held_out.cameras for serial in serials])
    arrays["held_out_frame"] = np.concatenate([held_out_frames(count, held_out.frames_fraction) for count in counts])
    track = _concatenate([part["parameters"] for part in parts])
    return Views(**arrays, cameras=tuple(serials), sequences=sources.sequences, parameters=track)


def memory_of_views(views: int, size: int) -> float:
    """Bytes that gathering and training on ``views`` views of ``size`` px take at most, besides what a model itself takes."""
    return PEAK * BYTES_PER_PIXEL * views * size**2


PER_VIEW = ("images", "mattes", "hair", "labels", "angle", "confidence", "landmarks", "visible", "K", "world_to_camera")


def held_out_frames(count: int, fraction: float) -> np.ndarray:
    """The last ``fraction`` of ``count`` frames, rounded up, but never all of them."""
    held = min(int(np.ceil(count * fraction)), count - 1) if fraction > 0 else 0
    return np.arange(count) >= count - held


def _frames(images: Images, most: int | None) -> int:
    return images.frames if most is None else min(images.frames, most)


def _sequence(sources: Sources, position: int, size: int, most_frames: int | None) -> dict[str, Any]:
    images, cameras = read_images(sources.images[position]), read_cameras(sources.cameras[position])
    background = read_background(sources.background[position])
    parameters, _ = read_head_params(sources.params[position])
    rows = _Reader(sources, position, images, size)
    frames = _frames(images, most_frames)
    shown = [(frame, serial) for frame, serial in images.views() if frame < frames]
    views = [rows.view(frame, serial) for frame, serial in shown]
    resized = {serial: camera.resize(size, size) for serial, camera in cameras.items()}
    visible = {serial: resize(background.visible(serial).astype(np.uint8) * 255, size, size) == 255 for serial in images.serials}
    order = [serial for _, serial in shown]
    return {
        **{
            name: np.stack([view[name] for view in views]) for name in ("images", "mattes", "hair", "labels", "angle", "confidence")
        },
        "landmarks": rows.landmarks(frames),
        "visible": np.stack([visible[serial] for serial in order]),
        "K": np.stack([resized[serial].K for serial in order]),
        "world_to_camera": np.stack([resized[serial].world_to_camera for serial in order]),
        "serials": images.serials,
        "frames": frames,
        "times": np.array(images.times[:frames]),
        "parameters": parameters.frames(slice(frames)),
    }


class _Reader:
    """Reads and shrinks the maps of one view at a time, so that only the working size is ever held."""

    def __init__(self, sources: Sources, position: int, images: Images, size: int) -> None:
        self.images, self.size = images, size
        self.mattes, self.masks = read_mattes(sources.mattes[position]), read_masks(sources.masks[position])
        self.orientations = read_orientations(sources.orientation[position]) if sources.orientation else None
        self.points = read_landmarks(sources.landmarks[position]).points if sources.landmarks else None

    def view(self, frame: int, serial: str) -> dict[str, np.ndarray]:
        """The maps of one view at the working size."""
        labels = self.masks.labels(frame, serial)
        angle, confidence = self._orientation(frame, serial)
        return {
            "images": resize(self.images.image(frame, serial), self.size, self.size),
            "mattes": resize(self.mattes.alpha(frame, serial), self.size, self.size),
            "hair": resize(self.masks.hair(frame, serial), self.size, self.size),
            "labels": np.asarray(Image.fromarray(labels).resize((self.size, self.size), Image.Resampling.NEAREST)),
            "angle": angle,
            "confidence": confidence,
        }

    def landmarks(self, frames: int) -> np.ndarray:
        """Landmarks of the first ``frames`` at the working size, NaN where absent or not asked for."""
        count = frames * len(self.images.serials)
        if self.points is None:
            return np.full((count, 68, 2), np.nan, np.float32)
        return self.points[:frames].reshape(count, 68, 2) * (self.size / self.images.size)

    def _orientation(self, frame: int, serial: str) -> tuple[np.ndarray, np.ndarray]:
        if self.orientations is None:
            return np.full((self.size, self.size), np.nan, np.float16), np.zeros((self.size, self.size), np.float16)
        angle, confidence = resize_orientation(*self.orientations.maps(frame, serial), self.size, self.size)
        return angle.astype(np.float16), confidence.astype(np.float16)


def _concatenate(parts: Sequence[HeadParameters]) -> HeadParameters:
    """One track over all sequences; identity and scale are those of the first, which the others share."""
    for part in parts[1:]:
        if not torch.allclose(part.identity, parts[0].identity):
            raise CaptureError(
                "training.extra_sequences",
                "the sequences were fitted with different identities",
                "run fit_head of the extra sequences again",
            )
    joined = {name: torch.cat([getattr(part, name) for part in parts]).float() for name in PER_FRAME}
    return replace(parts[0].to(dtype=torch.float32), **joined)
