"""download: make sure that the raw capture is there, whole and plausible."""

from __future__ import annotations

import hashlib
import importlib
from dataclasses import dataclass
from pathlib import Path

from headcast.capture.camera import Camera
from headcast.capture.capture import PREPROCESSED, Capture, open_capture
from headcast.capture.download import download_participants, has_link
from headcast.capture.film import Film
from headcast.capture.pictures import pixels, read_picture
from headcast.capture.raw import raw_files
from headcast.config import PARTICIPANT, Extraction
from headcast.errors import AssetMissing, BadFile, CaptureError, HeadcastError
from headcast.formats.raw_list import write_raw
from headcast.process.command import Progress


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
    """Check every file of the raw capture of one sequence, bringing what is missing or short, and list them."""
    try:
        files = whole_files(inputs, extraction)
    except HeadcastError as error:
        if not can_be_fetched(inputs, error):
            raise
        download_participants(inputs.data_root, [inputs.subject], [inputs.sequence], extraction.cameras)
        files = whole_files(inputs, extraction)
    listed = {}
    for number, path in enumerate(files, start=1):
        listed[path.relative_to(inputs.data_root).as_posix()] = {"bytes": path.stat().st_size, "sha256": _sha256(path)}
        progress(number, len(files))
    return write_raw(inputs.output, inputs.subject, inputs.sequence, listed, inputs.state)


def can_be_fetched(inputs: Inputs, error: HeadcastError) -> bool:
    """Whether the download client could mend this: a NeRSemble participant, a link, and a file that is missing, damaged or old."""
    ours = inputs.reader == "nersemble" and PARTICIPANT.fullmatch(inputs.subject) is not None
    stale = not Path(error.where).exists() or Path(error.where).suffix == ".csv"
    return ours and has_link() and (isinstance(error, AssetMissing | BadFile) or stale)


def whole_files(inputs: Inputs, extraction: Extraction) -> list[Path]:
    """The files of a capture that was looked into, or of a preprocessed sequence of which every view is there."""
    if inputs.reader not in PREPROCESSED:
        return whole_capture(inputs, extraction).files
    module = importlib.import_module(PREPROCESSED[inputs.reader])
    module.read(inputs.data_root, inputs.subject, inputs.sequence, extraction.cameras)
    return raw_files(inputs.reader, inputs.data_root, inputs.subject, inputs.sequence, extraction.cameras)


def whole_capture(inputs: Inputs, extraction: Extraction) -> Capture:
    """Open the capture and look into every film and plate; the first damage is an error."""
    capture = open_capture(
        inputs.reader, inputs.data_root, inputs.subject, inputs.sequence, extraction.cameras, extraction.min_cameras
    )
    for serial, film in (*capture.films.items(), *capture.masks.items()):
        film.check()
        check_size(film, capture.cameras[serial])
    for path in capture.plates.values():
        read_picture(path)
    return capture


def check_size(film: Film, camera: Camera) -> None:
    """Film and calibration must speak of the same pixels."""
    if film.size() != (camera.width, camera.height):
        raise CaptureError(
            film.path,
            f"is {pixels(film.size())}, camera {camera.serial} is calibrated for {pixels((camera.width, camera.height))}",
            "scale K with the pictures, or use the pictures that were calibrated",
        )


def _sha256(path: Path) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
