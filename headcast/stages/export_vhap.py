"""export_vhap: a fitted FLAME track with its pictures and mattes as VHAP exports one, for GaussianAvatars and tools like it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from headcast.config import Fitting, HeldOut
from headcast.delivery.vhap_layout import track_files, transforms, view_entry, view_files
from headcast.errors import ConfigError
from headcast.formats.frames import read_cameras, read_images
from headcast.formats.manifest import write_product
from headcast.formats.maps import read_mattes
from headcast.formats.track import read_head_params
from headcast.heads import load_head_model
from headcast.heads.flame_head import FlameHead
from headcast.heads.flame_track import to_flame
from headcast.process.command import Progress
from headcast.stages.training_views import held_out_frames
from headcast.stages.views import write_members


@dataclass(frozen=True)
class Inputs:
    """A fitted sequence; the manifest beside which ``{subject}/sequences/{sequence}/…`` is written."""

    subject: str
    sequence: str
    images: Path
    cameras: Path
    mattes: Path
    surface: Path
    model: Path
    output: Path
    workers: int = 1


def run(inputs: Inputs, fitting: Fitting, held_out: HeldOut, progress: Progress) -> Path:
    """Write the pictures on white, the mattes, FLAME's parameters of every frame and the JSON of all views and its divisions."""
    model = load_head_model(fitting.model, inputs.model)
    if not isinstance(model, FlameHead):
        raise ConfigError("fitting.model", f"is {fitting.model}; VHAP's folders hold FLAME", "set fitting: {model: flame}")
    below, images, cameras = (
        f"{inputs.subject}/sequences/{inputs.sequence}",
        read_images(inputs.images),
        read_cameras(inputs.cameras),
    )
    parameters, _ = read_head_params(inputs.surface)
    track, unit = to_flame(parameters, model), float(parameters.scale)
    origin = track.translation.mean(axis=0)
    numbers = {serial: index for index, serial in enumerate(images.serials)}
    jobs: list[tuple[Any, ...]] = [
        (below, inputs.images, inputs.mattes, frame, serial, numbers[serial]) for frame, serial in images.views()
    ]
    entries = [
        view_entry(cameras[serial], frame, images.raw_frames[frame], numbers[serial], unit, origin)
        for frame, serial in images.views()
    ]
    held_frames = set(np.flatnonzero(held_out_frames(images.frames, held_out.frames_fraction)).tolist())
    held_cameras = {numbers[serial] for serial in held_out.cameras if serial in numbers}
    with write_product(inputs.output, "export_vhap") as writer:
        writer.facts |= {"frames": images.frames, "cameras": images.serials, "times_s": images.times}
        write_members(writer, export_view, jobs, inputs.workers, progress)
        files = track_files(track, origin)
        files |= transforms(entries, cameras[images.serials[-1]], held_cameras, held_frames, unit, origin)
        for name, data in files.items():
            writer.add_bytes(f"{below}/{name}", data)
    return inputs.output


def export_view(below: str, images: Path, mattes: Path, frame: int, serial: str, number: int) -> dict[str, bytes]:
    """The files of one view by member name."""
    files = view_files(_images(images).image(frame, serial), _mattes(mattes).alpha(frame, serial), frame, number)
    return {f"{below}/{name}": data for name, data in files.items()}


_images, _mattes = cache(read_images), cache(read_mattes)
"""The products, opened once in each process."""
