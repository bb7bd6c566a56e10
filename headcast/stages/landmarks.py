"""landmarks: FaceMesh in every view, then one multi-view consensus."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headcast.assets import verify
from headcast.config import LandmarkDetection
from headcast.errors import CaptureError
from headcast.formats.frames import Images, read_cameras, read_images
from headcast.formats.track import write_landmarks
from headcast.imaging.landmarks import consensus, detect_views
from headcast.process.command import Progress


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
    verify("landmarks", landmarks.backend)
    images, cameras = read_images(inputs.images), read_cameras(inputs.cameras)
    raw = detect_views(_rows(images, progress), tuple(images.serials), landmarks.min_confidence)
    seen = np.isfinite(raw.points[..., 0]).any(-1)
    if not seen.any():
        raise CaptureError(
            inputs.images.parent, "no face found in any view of any frame", "look at the images; check capture and rotation"
        )
    agreed = consensus(raw, cameras)
    write_landmarks(
        inputs.output,
        agreed,
        {"backend": landmarks.backend, "frames": images.frames, "size": images.size, "views_with_face": int(seen.sum())},
        raw.points,
    )
    return inputs.output


def _rows(images: Images, progress: Progress):  # type: ignore[no-untyped-def]
    for frame in range(images.frames):
        yield [images.image(frame, serial) for serial in images.serials]
        progress(frame + 1, images.frames)
