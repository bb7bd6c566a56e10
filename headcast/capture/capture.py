"""A capture as it lies on disk, the same for every data set: calibrated cameras, one film a camera, plates or masks."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float

from headcast.capture.camera import Camera
from headcast.capture.film import Film
from headcast.errors import CaptureError

READERS = {
    "nersemble": "headcast.capture.nersemble",
    "custom": "headcast.capture.custom",
    "renderme": "headcast.capture.renderme",
}
PREPROCESSED = {"gha": "headcast.capture.gha"}
DISTANCE_M = (0.2, 5.0)
FACING_COSINE = 0.7
UNITS = {"millimetres": 1e-3, "centimetres": 1e-2}


@dataclass(frozen=True)
class Capture:
    """What was filmed of one subject in one sequence; every mapping has the same, sorted camera serials as keys, or none at all.

    ``cameras`` describe the raw frames, after the ``distortion`` (OpenCV's coefficients) of a lens was removed; ``plates`` are
    pictures without the subject, ``masks`` the capture's own mattes; ``color`` holds the terms of a linear colour correction.
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

    @property
    def files(self) -> list[Path]:
        """Every file that this capture consists of."""
        filmed = [path for film in (*self.films.values(), *self.masks.values()) for path in film.files]
        return sorted({*self.calibration, *filmed, *self.plates.values()})


def open_capture(reader: str, root: Path, subject: str, sequence: str, cameras: list[str] | None, min_cameras: int) -> Capture:
    """Open a raw capture with the named reader and check its calibration; ``AssetMissing`` when it is not there."""
    module = importlib.import_module(READERS[reader])
    capture: Capture = module.read(root, subject, sequence, cameras)
    if len(capture.cameras) < min_cameras:
        raise CaptureError(
            f"{subject}/{sequence}", f"has {len(capture.cameras)} cameras", f"extraction.min_cameras asks for {min_cameras}"
        )
    check_calibration(list(capture.cameras.values()), str(capture.calibration[0]))
    return capture


def raw_files(reader: str, root: Path, subject: str, sequence: str, cameras: list[str] | None = None) -> list[Path]:
    """The files of a capture, or of some of its cameras, that exist already, without reading any: what Snakemake watches."""
    return sorted(importlib.import_module((READERS | PREPROCESSED)[reader]).files(root, subject, sequence, cameras))


def recorded(reader: str, root: Path, subject: str | None = None, downloads: bool = False) -> set[str]:
    """Subjects that lie under ``root``, or sequences of one; with ``downloads`` also those that the data set's own list offers.

    Every reader lays them out as ``{root}/{subject}/sequences/{sequence}/images``; one with a list of what exists has ``on_offer``.
    """
    offers = getattr(importlib.import_module(READERS[reader]), "on_offer", None) if downloads and reader in READERS else None
    offer: dict[str, set[str]] = offers(root) if offers else {}
    if subject is None:
        return {path.parent.name for path in root.glob("*/sequences")} | set(offer)
    return {path.parent.name for path in (root / subject / "sequences").glob("*/images")} | offer.get(subject, set())


def focus(cameras: list[Camera]) -> Float[np.ndarray, "3"]:
    """The point (m, world) that is nearest to all optical axes in the least-squares sense: where the head is."""
    normal, right = np.zeros((3, 3)), np.zeros(3)
    for camera in cameras:
        across = np.eye(3) - np.outer(camera.viewing_direction, camera.viewing_direction)
        normal += across
        right += across @ camera.center
    return np.linalg.lstsq(normal, right, rcond=None)[0]


def check_calibration(cameras: list[Camera], source: str) -> None:
    """Cameras must surround and face one point 0.2–5 m away; else ``CaptureError`` says which do not and why."""
    target = focus(cameras)
    wrong = [camera.serial for camera in cameras if not _faces(camera, target)]
    if not wrong:
        return
    inverted = [Camera(c.serial, c.K, c.camera_to_world, c.width, c.height) for c in cameras]
    swapped = all(_faces(camera, focus(inverted)) for camera in inverted)
    hint = (
        "the matrices look like camera-to-world: store world-to-camera"
        if swapped
        else f"check units ({_unit_hint(cameras)}) and axes (OpenCV: x right, y down, z forward)"
    )
    raise CaptureError(
        source,
        f"camera {wrong[0]} does not face the head from {DISTANCE_M[0]}–{DISTANCE_M[1]} m ({len(wrong)} of {len(cameras)} do not)",
        hint,
    )


def _faces(camera: Camera, target: Float[np.ndarray, "3"]) -> bool:
    offset = target - camera.center
    distance = float(np.linalg.norm(offset))
    return DISTANCE_M[0] <= distance <= DISTANCE_M[1] and float(camera.viewing_direction @ offset) > FACING_COSINE * distance


def _unit_hint(cameras: list[Camera]) -> str:
    """Which unit would put the cameras at a plausible distance, when metres do not."""
    distance = float(np.median([np.linalg.norm(camera.center - focus(cameras)) for camera in cameras]))
    fitting = [name for name, unit in UNITS.items() if DISTANCE_M[0] <= unit * distance <= DISTANCE_M[1]]
    if DISTANCE_M[0] <= distance <= DISTANCE_M[1] or not fitting:
        return "metres"
    return f"metres; the translations look like {' or '.join(fitting)}"
