"""import_vhap: pictures, mattes, cameras and the fitted head taken from a capture that VHAP tracked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headcast.capture.calibration import check_calibration
from headcast.capture.camera import Camera
from headcast.capture.vhap import AGAIN, Tracked, picture, read
from headcast.config import Extraction, Fitting
from headcast.errors import BadFile, ConfigError
from headcast.formats.frames import member_name, write_background, write_cameras
from headcast.formats.manifest import png, write_product
from headcast.formats.track import write_head_params
from headcast.heads import load_head_model
from headcast.heads.flame_head import FlameHead
from headcast.heads.flame_track import EXPRESSIONS_STORED, SHAPES, FlameTrack, from_flame, left_out, placed
from headcast.imaging.crop import Crop, head_crop, whole_crop
from headcast.process.command import Progress
from headcast.stages.views import write_members

KINDS = {"images": "image", "mattes": "matte"}


@dataclass(frozen=True)
class Inputs:
    """The tracked folder, its rate (frames a second, which the folder does not say), FLAME, and the products to write."""

    subject: str
    sequence: str
    data_root: Path
    fps: float
    model: Path
    images: Path
    cameras: Path
    background: Path
    mattes: Path
    params: Path
    surface: Path
    workers: int = 1


def run(inputs: Inputs, extraction: Extraction, fitting: Fitting, progress: Progress) -> Path:
    """Resize pictures and mattes with their cameras; the track becomes ours, in metres, the skull's placement and FLAME's codes."""
    model = load_head_model(fitting.model, inputs.model)
    if not isinstance(model, FlameHead):
        raise ConfigError("fitting.model", f"is {fitting.model}; VHAP's folders hold FLAME", "set fitting: {model: flame}")
    source = read(inputs.data_root, inputs.subject, inputs.sequence, extraction.cameras)
    frames = [*source.frames[:: extraction.stride]][: extraction.max_frames]
    raw = {serial: source.camera(serial) for serial in source.serials}
    check_calibration(list(raw.values()), str(source.folder))
    crops = {serial: window(camera, extraction.size) for serial, camera in raw.items()}
    times = [round((frame - frames[0]) / inputs.fps, 6) for frame in frames]
    write_cameras(inputs.cameras, {s: crops[s].camera(camera) for s, camera in raw.items()}, raw, times)
    write_background(inputs.background, {}, {s: crops[s].visible(camera) for s, camera in raw.items()})
    facts = {
        "frames": len(frames),
        "raw_frames": frames,
        "cameras": list(raw),
        "size": extraction.size,
        "masks": False,
        "times_s": times,
    }
    places = {"images": source.image, "mattes": source.mask}
    for kind, output in {"images": inputs.images, "mattes": inputs.mattes}.items():
        views = [(number, frame, serial) for number, frame in enumerate(frames) for serial in raw]
        jobs: list[tuple[Any, ...]] = [(kind, places[kind](f, s), raw[s], crops[s], number) for number, f, s in views]
        with write_product(output, kind) as writer:
            writer.facts |= facts | {"backend": "vhap"}
            write_members(writer, take_view, jobs, inputs.workers, progress)
    write_track(inputs, source, frames, model)
    return inputs.images


def window(camera: Camera, size: int) -> Crop:
    """A square picture whole; of another the square about the principal point, as a raw frame's."""
    return whole_crop(camera, size) if camera.width == camera.height else head_crop(camera, size)


def take_view(kind: str, path: Path, camera: Camera, crop: Crop, number: int) -> dict[str, bytes]:
    """The member of one view of one product."""
    if kind == "images":
        pixels = crop.image(picture(path, camera, "RGB"))
    else:
        pixels = crop.image(np.repeat(picture(path, camera, "L")[..., None], 3, -1))[..., 0]
    return {member_name(KINDS[kind], number, camera.serial): png(pixels)}


def write_track(inputs: Inputs, source: Tracked, frames: list[int], model: FlameHead) -> None:
    """FLAME's parameters as ours; the surface holds the person's own offset, too."""
    track = flame_track(source, frames, len(model.mean))
    own, vertices = from_flame(track, model)
    parameters = placed(own, source.unit_m, source.origin_m)
    facts = {
        "model": model.name,
        "licence": model.licence,
        "redistributable": model.redistributable,
        "sources": dict(model.sources),
        "frames": len(frames),
        "expression_names": list(model.expression_names),
        "backend": "vhap",
        **left_out(track),
    }
    write_head_params(inputs.params, parameters, facts)
    write_head_params(inputs.surface, parameters, facts, source.unit_m * vertices + source.origin_m)


def flame_track(source: Tracked, frames: list[int], vertices: int) -> FlameTrack:
    """The parameter files of the frames as one track; the other side's teeth are no part of the head."""
    rows = [source.flame(frame) for frame in frames]
    for frame, row in zip(frames, rows, strict=True):
        lacks = [name for name in ("shape", "expr", *SIZES) if name not in row]
        if lacks:
            raise BadFile(source.folder, f"the parameters of timestep {frame} have no {lacks[0]}", AGAIN)
    try:
        stacked = {name: np.stack([row[name].reshape(size) for row in rows]) for name, size in SIZES.items()}
        expr = np.stack([_filled(row["expr"], EXPRESSIONS_STORED) for row in rows])
        offset = rows[0].get("static_offset", np.zeros((vertices, 3))).reshape(-1, 3)
    except ValueError as error:
        raise BadFile(source.folder, f"FLAME parameters of unexpected shapes ({error})", AGAIN) from error
    if len(offset) < vertices:
        raise BadFile(source.folder, f"static_offset has {len(offset)} rows, the head {vertices} vertices", AGAIN)
    return FlameTrack(shape=_filled(rows[0]["shape"], SHAPES), expr=expr, static_offset=offset[:vertices], **stacked)


SIZES = {"rotation": 3, "neck_pose": 3, "jaw_pose": 3, "eyes_pose": 6, "translation": 3}


def _filled(codes: np.ndarray, width: int) -> np.ndarray:
    """Components of a frame; what a track with fewer of them does not say is at rest."""
    flat = codes.reshape(-1)
    return np.pad(flat, (0, max(width - len(flat), 0)))[:width]
