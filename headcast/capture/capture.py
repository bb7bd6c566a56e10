"""A capture as it lies on disk, the same for every data set: calibrated cameras, one film a camera, plates or masks."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float

from headcast.capture.calibration import check_calibration
from headcast.capture.camera import Camera
from headcast.capture.film import Film
from headcast.errors import CaptureError

READERS = {
    "nersemble": "headcast.capture.nersemble",
    "custom": "headcast.capture.custom",
    "renderme": "headcast.capture.renderme",
}
UNCALIBRATED = {"monocular": "headcast.capture.monocular"}
"""Readers of one camera of which nothing is known: good for a performance, not for an avatar."""
PREPROCESSED = {"gha": "headcast.capture.gha", "vhap": "headcast.capture.vhap"}
"""Readers whose products other tools have made, with the rules that take them: no raw capture."""


@dataclass(frozen=True)
class Capture:
    """What was filmed of one subject in one sequence; every mapping has the same, sorted camera serials as keys, or none at all.

    ``cameras`` describe the raw frames, after the ``distortion`` (OpenCV's coefficients) of a lens was removed; ``plates`` are
    pictures without the subject, ``masks`` the capture's own mattes; ``color`` holds the terms of a linear colour correction.
    ``whole`` where nothing says that a camera has the head in its middle: no frame is cropped.
    """

    subject: str
    sequence: str
    cameras: Mapping[str, Camera]
    films: Mapping[str, Film]
    plates: Mapping[str, Path]
    color: Mapping[str, Float[np.ndarray, "3 k"]]
    calibration: tuple[Path, ...]
    masks: Mapping[str, Film] = field(default_factory=dict)
    distortion: Mapping[str, Float[np.ndarray, "k"]] = field(default_factory=dict)
    whole: bool = False

    @property
    def files(self) -> list[Path]:
        """Every file that this capture consists of."""
        filmed = [path for film in (*self.films.values(), *self.masks.values()) for path in film.files]
        return sorted({*self.calibration, *filmed, *self.plates.values()})


def open_capture(reader: str, root: Path, subject: str, sequence: str, cameras: list[str] | None, min_cameras: int) -> Capture:
    """Open a raw capture with the named reader and check its calibration; ``AssetMissing`` when it is not there.

    Fewer than ``min_cameras`` are an error, unless the reader knows no more than one.
    """
    module = importlib.import_module((READERS | UNCALIBRATED)[reader])
    capture: Capture = module.read(root, subject, sequence, cameras)
    if len(capture.cameras) < min_cameras and reader not in UNCALIBRATED:
        raise CaptureError(
            f"{subject}/{sequence}", f"has {len(capture.cameras)} cameras", f"extraction.min_cameras asks for {min_cameras}"
        )
    check_calibration(list(capture.cameras.values()), str(capture.calibration[0]))
    return capture
