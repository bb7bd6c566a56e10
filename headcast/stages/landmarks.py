"""landmarks: a detector in every view, then one multi-view consensus."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np

from headcast.assets import digests, verify
from headcast.config import LandmarkDetection
from headcast.errors import CaptureError
from headcast.formats.frames import Images, read_cameras, read_images
from headcast.formats.track import write_landmarks
from headcast.imaging.landmarks import consensus
from headcast.process.command import Progress

DETECTORS = {
    "mediapipe": "headcast.imaging.landmarks",
    "face_alignment": "headcast.networks.fan",
}


@dataclass(frozen=True)
class Inputs:
    """Working images and cameras; the landmarks to write."""

    images: Path
    cameras: Path
    output: Path


def run(inputs: Inputs, landmarks: LandmarkDetection, progress: Progress) -> Path:
    """Detect landmarks in every view; views without a face stay NaN, outliers of the consensus become NaN.

    How many frames may show no face at all, the fit says.
    """
    weights = verify("landmarks", landmarks.backend)
    images, cameras = read_images(inputs.images), read_cameras(inputs.cameras)
    detect_views = import_module(DETECTORS[landmarks.backend]).detect_views
    raw = detect_views(_rows(images, progress), tuple(images.serials), landmarks.min_confidence, *weights)
    seen = np.isfinite(raw.points[..., 0]).any(-1)
    if not seen.any():
        raise CaptureError(
            inputs.images.parent, "no face found in any view of any frame", "look at the images; check capture and rotation"
        )
    agreed = consensus(raw, cameras)
    facts = {"backend": landmarks.backend, "weights": digests(weights), "frames": images.frames, "size": images.size}
    write_landmarks(inputs.output, agreed, {**facts, "views_with_face": int(seen.sum())}, raw)
    return inputs.output


def _rows(images: Images, progress: Progress):  # type: ignore[no-untyped-def]
    for frame in range(images.frames):
        yield [images.image(frame, serial) for serial in images.serials]
        progress(frame + 1, images.frames)
