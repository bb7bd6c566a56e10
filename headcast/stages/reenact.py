"""reenact: a film of the avatar, driven by the fitted track of a sequence."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from headcast.config import Reenactment
from headcast.delivery.camera_paths import camera_path
from headcast.delivery.reenactment import drive, film, head_center
from headcast.delivery.retarget import Track, back_and_forth
from headcast.formats.avatar_file import read_avatar
from headcast.formats.frames import read_cameras, read_times
from headcast.formats.track import read_head_params
from headcast.formats.video import write_video
from headcast.networks.runtime import best_device
from headcast.process.command import Progress

SLOWEST_FPS = 8.0


@dataclass(frozen=True)
class Inputs:
    """The avatar, the driving parameters, the rig to film from, the cameras that filmed the driver, and the film to write."""

    avatar: Path
    params: Path
    cameras: Path
    times: Path
    output: Path


def run(inputs: Inputs, reenactment: Reenactment, progress: Progress) -> Path:
    """Play the track back and forth and film it along a camera path."""
    avatar = read_avatar(inputs.avatar, best_device())
    parameters, facts = read_head_params(inputs.params)
    track = drive(avatar, Track.of(parameters, facts["expression_names"]))
    performance = track.frames(back_and_forth(track.frame_count, reenactment.repeats))
    step = float(np.median(np.diff(read_times(inputs.times)))) if track.frame_count > 1 else 1 / 24
    cameras = camera_path(
        reenactment.camera, read_cameras(inputs.cameras), head_center(avatar), performance.frame_count, reenactment.size
    )
    frames = film(avatar, performance, cameras, step * torch.arange(performance.frame_count))
    write_video(inputs.output, _told(frames, performance.frame_count, progress), max(1 / step, SLOWEST_FPS))
    return inputs.output


def _told(frames, count: int, progress: Progress):  # type: ignore[no-untyped-def]
    for done, frame in enumerate(frames, start=1):
        yield frame
        progress(done, count)
