"""extract_frames: raw videos → square, colour-corrected working images with their cameras and plates."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from headcast.capture.capture import Capture, open_capture
from headcast.capture.video import read_video_frames
from headcast.command import Progress
from headcast.config import Extraction
from headcast.errors import BadFile, CaptureError
from headcast.formats.frames import member_name, write_background, write_cameras
from headcast.formats.manifest import png, write_product
from headcast.formats.raw_list import read_raw
from headcast.imaging.color import correct
from headcast.imaging.crop import Crop, head_crop
from headcast.stages.views import write_members


@dataclass(frozen=True)
class Inputs:
    """The verified raw capture and the three products to write."""

    raw: Path
    subject: str
    sequence: str
    data_root: Path
    reader: str
    images: Path
    cameras: Path
    background: Path
    workers: int = 1


def run(inputs: Inputs, extraction: Extraction, progress: Progress) -> Path:
    """Decode every camera in parallel, correct colour, crop and resize; one dropped frame is an error, not a shift."""
    capture = open_capture(
        inputs.reader, inputs.data_root, inputs.subject, inputs.sequence, extraction.cameras, extraction.min_cameras
    )
    check_sizes(inputs.raw, inputs.data_root, capture)
    color = capture.color if extraction.color_calibration else {}
    crops = {serial: head_crop(camera, extraction.size) for serial, camera in capture.cameras.items()}
    plates = {s: working_image(_plate(path), crops[s], color.get(s)) for s, path in capture.plates.items()}
    write_background(inputs.background, plates, {s: crops[s].visible(c) for s, c in capture.cameras.items()})
    jobs = [(s, capture.videos[s], crops[s], color.get(s), extraction.stride, extraction.max_frames) for s in capture.cameras]
    with write_product(inputs.images, "images") as writer:
        write_members(writer, extract_camera, jobs, inputs.workers, progress)
        times = {s: json.loads((inputs.images.parent / f"times_{s}.json").read_text(encoding="utf-8")) for s in capture.cameras}
        stamps = check_times(times, capture)
        writer.facts |= {"cameras": list(capture.cameras), "size": extraction.size, "frames": len(stamps), "times_s": stamps}
        writer.facts["raw_frames"] = [frame * extraction.stride for frame in range(len(stamps))]
    write_cameras(inputs.cameras, {s: crops[s].camera(c) for s, c in capture.cameras.items()}, dict(capture.cameras), stamps)
    return inputs.images


def extract_camera(
    serial: str, video: Path, crop: Crop, color: np.ndarray | None, stride: int, max_frames: int | None
) -> dict[str, bytes]:
    """The working images of one camera by member name, with the time of every kept frame (s)."""
    members: dict[str, bytes] = {}
    times: list[float] = []
    for index, time, frame in read_video_frames(video):
        if index % stride == 0 and (max_frames is None or len(times) < max_frames):
            members[member_name("image", len(times), serial)] = png(working_image(frame, crop, color))
            times.append(time)
    members[f"times_{serial}.json"] = json.dumps(times).encode()
    return members


def working_image(raw: np.ndarray, crop: Crop, color: np.ndarray | None) -> np.ndarray:
    """A raw frame or plate in the pipeline's colours and geometry."""
    return crop.image(raw if color is None else correct(raw, color))


def check_times(times: dict[str, list[float]], capture: Capture) -> list[float]:
    """All cameras must have the same frames at the same times; returns these (s), from the first."""
    reference = next(iter(times))
    for serial, stamps in times.items():
        if len(stamps) != len(times[reference]):
            raise CaptureError(
                capture.videos[serial],
                f"has {len(stamps)} frames, camera {reference} has {len(times[reference])}",
                "a frame was dropped; download the sequence again",
            )
        step = np.median(np.diff(stamps)) if len(stamps) > 1 else 1.0
        drift = float(np.abs(np.subtract(stamps, times[reference])).max())
        if drift > 0.5 * step:
            raise CaptureError(
                capture.videos[serial], f"runs {drift:.3f} s apart from camera {reference}", "the cameras are not synchronised"
            )
    start = times[reference][0]
    return [round(t - start, 6) for t in times[reference]]


def check_sizes(raw: Path, data_root: Path, capture: Capture) -> None:
    """The raw files must be those that the download stage verified."""
    listed = read_raw(raw)["files"]
    for path in capture.files:
        entry = listed.get(path.relative_to(data_root).as_posix())
        if entry is None or entry["bytes"] != path.stat().st_size:
            raise BadFile(path, "changed since it was verified", f"delete {raw} and run again")


def _plate(path: Path) -> np.ndarray:
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except OSError as error:
        raise BadFile(path, "is not a readable image", "download it again") from error
