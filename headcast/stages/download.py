"""download: make sure that the raw capture is there, whole and plausible."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from headcast.capture.camera import Camera
from headcast.capture.capture import Capture, open_capture
from headcast.capture.download import download_participant
from headcast.capture.film import Film
from headcast.command import Progress
from headcast.config import PARTICIPANT, Extraction
from headcast.errors import AssetMissing, CaptureError
from headcast.formats.raw_list import write_raw


@dataclass(frozen=True)
class Inputs:
    """Where the raw capture is, or is to be put, and what the plan made of its state."""

    subject: str
    sequence: str
    data_root: Path
    reader: str
    output: Path
    state: str = ""


def run(inputs: Inputs, extraction: Extraction, progress: Progress) -> Path:
    """Bring the raw capture of one sequence if it is missing, check every file, and list them."""
    try:
        capture = _open(inputs, extraction)
    except AssetMissing:
        if inputs.reader != "nersemble" or not PARTICIPANT.fullmatch(inputs.subject):
            raise
        download_participant(inputs.data_root, inputs.subject, inputs.sequence, extraction.cameras)
        capture = _open(inputs, extraction)
    listed = {}
    for serial, film in (*capture.films.items(), *capture.masks.items()):
        film.check()
        check_size(film, capture.cameras[serial])
    for number, path in enumerate(capture.files, start=1):
        listed[path.relative_to(inputs.data_root).as_posix()] = {"bytes": path.stat().st_size, "sha256": _sha256(path)}
        progress(number, len(capture.files))
    return write_raw(inputs.output, inputs.subject, inputs.sequence, listed, inputs.state)


def check_size(film: Film, camera: Camera) -> None:
    """Film and calibration must speak of the same pixels."""
    if film.size() != (camera.width, camera.height):
        wide, high = film.size()
        raise CaptureError(
            film.path,
            f"is {wide}×{high} px, camera {camera.serial} is calibrated for {camera.width}×{camera.height}",
            "scale K with the pictures, or use the pictures that were calibrated",
        )


def _open(inputs: Inputs, extraction: Extraction) -> Capture:
    return open_capture(
        inputs.reader, inputs.data_root, inputs.subject, inputs.sequence, extraction.cameras, extraction.min_cameras
    )


def _sha256(path: Path) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
