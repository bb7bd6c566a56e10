"""extract_frames: raw videos → square, colour-corrected working images with their cameras and plates."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import repeat, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from headcast.capture.camera import Camera
from headcast.capture.capture import Capture, open_capture
from headcast.capture.film import Film
from headcast.capture.pictures import read_picture
from headcast.config import Extraction
from headcast.errors import BadFile, CaptureError
from headcast.formats.frames import member_name, write_background, write_cameras
from headcast.formats.manifest import png, write_product
from headcast.formats.raw_list import read_raw
from headcast.imaging.color import correct
from headcast.imaging.crop import Crop, head_crop, whole_crop
from headcast.imaging.lens import Lens
from headcast.process.command import Progress
from headcast.stages.views import write_members

if TYPE_CHECKING:
    from headcast.capture.video import VideoFrame


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
    """Decode every camera in parallel, correct lens and colour, crop and resize; one dropped frame is an error, not a shift."""
    capture = open_capture(
        inputs.reader, inputs.data_root, inputs.subject, inputs.sequence, extraction.cameras, extraction.min_cameras
    )
    check_sizes(inputs.raw, inputs.data_root, capture)
    working = {serial: working_view(capture, serial, extraction) for serial in capture.cameras}
    plates = {serial: working[serial].image(read_picture(path)) for serial, path in capture.plates.items()}
    write_background(inputs.background, plates, {serial: working[serial].visible(c) for serial, c in capture.cameras.items()})
    jobs = [(s, capture.films[s], capture.masks.get(s), working[s], extraction.stride, extraction.max_frames) for s in working]
    with write_product(inputs.images, "images") as writer:
        write_members(writer, extract_camera, jobs, inputs.workers, progress)
        times = {s: json.loads((inputs.images.parent / f"times_{s}.json").read_text(encoding="utf-8")) for s in capture.cameras}
        stamps = check_times(times, capture)
        writer.facts |= {"cameras": list(capture.cameras), "size": extraction.size, "masks": bool(capture.masks)}
        writer.facts |= {"frames": len(stamps), "times_s": stamps}
        writer.facts["color_corrections"] = {s: w.color.tolist() for s, w in working.items() if w.color is not None}
        writer.facts["raw_frames"] = [frame * extraction.stride for frame in range(len(stamps))]
    cameras = {serial: working[serial].crop.camera(camera) for serial, camera in capture.cameras.items()}
    write_cameras(inputs.cameras, cameras, dict(capture.cameras), stamps)
    return inputs.images


@dataclass(frozen=True)
class WorkingView:
    """How the raw frames of one camera become working images: lens, colour, window."""

    crop: Crop
    color: np.ndarray | None
    lens: Lens | None

    def image(self, raw: np.ndarray) -> np.ndarray:
        """A raw frame or plate in the pipeline's colours and geometry; only what the window shows is corrected."""
        straight = raw if self.lens is None else self.lens.undistort(raw)
        return self.crop.image(straight, None if self.color is None else partial(correct, matrix=self.color))

    def mask(self, raw: np.ndarray) -> np.ndarray:
        """A raw mask (RGB of one value) in the pipeline's geometry."""
        return self.crop.image(raw if self.lens is None else self.lens.undistort(raw))[..., 0]

    def visible(self, camera: Camera) -> np.ndarray:
        """Where the working image shows nothing but real pixels."""
        white = np.full((camera.height, camera.width, 3), 255, np.uint8)
        return self.mask(white) == 255


def working_view(capture: Capture, serial: str, extraction: Extraction) -> WorkingView:
    """The way of one camera's frames."""
    camera = capture.cameras[serial]
    bent = capture.distortion.get(serial)
    lens = None if bent is None or not np.any(bent) else Lens(camera.K, bent, camera.width, camera.height)
    color = capture.color.get(serial) if extraction.color_calibration else None
    crop = whole_crop if capture.whole else head_crop
    return WorkingView(crop(camera, extraction.size), color, lens)


def extract_camera(
    serial: str, film: Film, masks: Film | None, working: WorkingView, stride: int, max_frames: int | None
) -> Iterator[tuple[str, bytes]]:
    """The working images of one camera with their member names, its own masks where it has any, and the times of both (s).

    One frame after the other: what a sequence takes does not grow with its length. Behind ``max_frames`` nothing is decoded.
    """
    times: list[float] = []
    for (index, time, frame), mask in paired(film, masks):
        if index % stride == 0:
            yield member_name("image", len(times), serial), png(working.image(frame))
            if mask is not None:
                yield member_name("mask", len(times), serial), png(working.mask(mask.rgb))
            times.append(time)
        if len(times) == max_frames:
            break
    yield f"times_{serial}.json", json.dumps(times).encode()


def paired(film: Film, masks: Film | None) -> Iterator[tuple[VideoFrame, VideoFrame | None]]:
    """Every frame with its mask, where there are any: as many as frames."""
    if masks is None:
        yield from zip(film.frames(), repeat(None))
        return
    for frame, mask in zip_longest(film.frames(), masks.frames()):
        if frame is None or mask is None:
            raise CaptureError(masks.path, f"has {'more' if frame is None else 'fewer'} frames than {film.path.name}", "match them")
        yield frame, mask


def check_times(times: dict[str, list[float]], capture: Capture) -> list[float]:
    """All cameras must have the same frames at the same times; returns these (s), from the first."""
    usual = Counter(len(stamps) for stamps in times.values()).most_common(1)[0][0]
    for serial, stamps in times.items():
        if len(stamps) != usual:
            path, wrong = capture.films[serial].path, f"has {len(stamps)} frames, most cameras have {usual}"
            raise CaptureError(path, wrong, "a frame was dropped: obtain the film again, or leave the camera out")
    table = np.array(list(times.values()))
    reference = int(np.abs(table - np.median(table, 0)).max(1).argmin())
    step = np.median(np.diff(table[reference])) if usual > 1 else 1.0
    for serial, drift in zip(times, np.abs(table - table[reference]).max(1), strict=True):
        if drift > 0.5 * step:
            path, wrong = capture.films[serial].path, f"runs {drift:.3f} s apart from camera {list(times)[reference]}"
            raise CaptureError(path, wrong, "the cameras are not synchronised: film again, or leave the camera out")
    start = times[next(iter(times))][0]
    return [round(t - start, 6) for t in times[next(iter(times))]]


def check_sizes(raw: Path, data_root: Path, capture: Capture) -> None:
    """The raw files must be those that the download stage verified."""
    listed = read_raw(raw)["files"]
    for path in capture.files:
        entry = listed.get(path.relative_to(data_root).as_posix())
        if entry is None or entry["bytes"] != path.stat().st_size:
            raise BadFile(path, "changed since it was verified", f"delete {raw} and run again")
