"""download: make sure that the raw capture is there, whole and plausible."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import av

from headcast.capture.capture import Capture, open_capture
from headcast.capture.download import download_participant
from headcast.command import Progress
from headcast.config import PARTICIPANT, Extraction
from headcast.errors import AssetMissing, BadFile
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
    for number, path in enumerate(capture.files, start=1):
        if path.suffix == ".mp4":
            check_video(path)
        listed[path.relative_to(inputs.data_root).as_posix()] = {"bytes": path.stat().st_size, "sha256": _sha256(path)}
        progress(number, len(capture.files))
    return write_raw(inputs.output, inputs.subject, inputs.sequence, listed, inputs.state)


def check_video(path: Path) -> None:
    """Every frame that the container promises must be in the file; ``BadFile`` otherwise (demuxed, not decoded)."""
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            promised = stream.frames
            found = sum(1 for packet in container.demux(stream) if packet.size and not packet.is_corrupt)
    except (av.error.FFmpegError, IndexError) as error:
        raise BadFile(path, f"is not a readable video ({str(error).splitlines()[0]})", "download it again") from error
    if found == 0 or found < promised:
        raise BadFile(path, f"is cut: {found} of {promised} frames are in the file", "download it again")


def _open(inputs: Inputs, extraction: Extraction) -> Capture:
    return open_capture(
        inputs.reader, inputs.data_root, inputs.subject, inputs.sequence, extraction.cameras, extraction.min_cameras
    )


def _sha256(path: Path) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
