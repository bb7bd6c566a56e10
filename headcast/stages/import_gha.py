"""import_gha: every product before the fit, taken from a sequence that was preprocessed for Gaussian Head Avatar."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headcast.capture.calibration import check_calibration
from headcast.capture.gha import SIDE, Preprocessed, read
from headcast.config import Extraction
from headcast.errors import CaptureError
from headcast.formats.frames import member_name, write_background, write_cameras
from headcast.formats.manifest import png, write_product
from headcast.formats.maps import orientation_bytes
from headcast.formats.track import write_landmarks
from headcast.imaging.facemesh_table import DENSE
from headcast.imaging.landmarks import Landmarks
from headcast.imaging.orientation_maps import resize_orientation
from headcast.imaging.resample import resize
from headcast.process.command import Progress
from headcast.stages.views import write_members

BODY, FACE, HAIR = 1, 2, 3
KINDS = ("images", "mattes", "masks", "orientation")


@dataclass(frozen=True)
class Inputs:
    """The preprocessed folder, its rate (frames a second, which the folder does not say), and the products to write."""

    subject: str
    sequence: str
    data_root: Path
    fps: float
    images: Path
    cameras: Path
    background: Path
    mattes: Path
    masks: Path
    orientation: Path
    landmarks: Path
    workers: int = 1


def run(inputs: Inputs, extraction: Extraction, progress: Progress) -> Path:
    """Resize pictures, plates, mattes, labels and orientation with their cameras; landmarks are taken as they are."""
    whole = read(inputs.data_root, inputs.subject, inputs.sequence, extraction.cameras)
    frames = [*whole.frames[:: extraction.stride]][: extraction.max_frames]
    source, size = Preprocessed(whole.folder, frames, whole.serials), extraction.size
    cameras = {serial: source.camera(serial) for serial in source.serials}
    if len(cameras) < extraction.min_cameras:
        raise CaptureError(
            source.folder, f"has {len(cameras)} cameras", f"extraction.min_cameras asks for {extraction.min_cameras}"
        )
    check_calibration(list(cameras.values()), str(source.folder / "cameras"))
    times = [round(number * extraction.stride / inputs.fps, 6) for number in range(len(frames))]
    write_cameras(inputs.cameras, {s: camera.resize(size, size) for s, camera in cameras.items()}, cameras, times)
    plates = {serial: resize(source.plate(serial), size, size) for serial in source.serials}
    visible = {serial: resize(source.grey("visible", frames[0], serial), size, size) > 127 for serial in source.serials}
    write_background(inputs.background, plates, visible)
    facts = {
        "frames": len(frames),
        "raw_frames": [number * extraction.stride for number in range(len(frames))],
        "cameras": list(source.serials),
        "size": size,
        "masks": False,
        "times_s": times,
    }
    jobs = [(kind, source, number, serial, size) for kind in KINDS for number in range(len(frames)) for serial in source.serials]
    outputs = {"images": inputs.images, "mattes": inputs.mattes, "masks": inputs.masks, "orientation": inputs.orientation}
    for kind, path in outputs.items():
        with write_product(path, "orientation_maps" if kind == "orientation" else kind) as writer:
            writer.facts |= facts | {"backend": "gha"}
            write_members(writer, take_view, [job for job in jobs if job[0] == kind], inputs.workers, progress)
    write_imported_landmarks(inputs.landmarks, source, size)
    return inputs.images


def take_view(kind: str, source: Preprocessed, number: int, serial: str, size: int) -> dict[str, bytes]:
    """The member of one view of one product."""
    frame = source.frames[number]
    if kind == "images":
        return {member_name("image", number, serial): png(resize(source.image(frame, serial), size, size))}
    if kind == "mattes":
        return {member_name("matte", number, serial): png(resize(source.grey("matte", frame, serial), size, size))}
    body, head, hair = (resize(source.grey(part, frame, serial), size, size) for part in ("body", "head", "hair"))
    if kind == "masks":
        labels = np.where(hair > 127, HAIR, np.where(head > 127, FACE, np.where(body > 127, BODY, 0))).astype(np.uint8)
        return {member_name("labels", number, serial): png(labels), member_name("hair", number, serial): png(hair)}
    degrees, confidence = (a.astype(np.float32) for a in (source.degrees(frame, serial), source.grey("confidence", frame, serial)))
    angle = np.where(confidence > 0, np.radians(degrees), np.nan)
    resized = resize_orientation(angle, confidence / 255, size, size)
    return {member_name("orientation", number, serial, "npz"): orientation_bytes(*resized)}


def write_imported_landmarks(path: Path, source: Preprocessed, size: int) -> None:
    """Landmarks in pixels of the working images; the dense points are unknown."""
    given = np.stack([[source.landmarks(frame, serial) for serial in source.serials] for frame in source.frames])
    points = given[..., :2] * (size / SIDE)
    known = np.isfinite(points).all(-1)
    if not known.any((1, 2)).all():
        frame = source.frames[int(np.argmin(known.any((1, 2))))]
        raise CaptureError(
            source.folder / "landmarks" / frame, "holds no landmarks of any view", "detect them, or remove the frame"
        )
    confidence = np.where(known, np.clip(given[..., 2], 0, 1), 0.0)
    dense = np.full((*points.shape[:2], DENSE, 2), np.nan)
    facts: dict[str, Any] = {"backend": "gha", "frames": len(points), "size": size, "views_with_face": int(known.any(-1).sum())}
    landmarks = Landmarks(tuple(source.serials), points, confidence, dense)
    write_landmarks(path, landmarks, facts, landmarks)
