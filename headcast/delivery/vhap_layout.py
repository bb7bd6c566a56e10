"""A tracked sequence in the layout of VHAP's export, which GaussianAvatars trains on and shows, as bytes by path.

Pictures lie on white, mattes beside them. The world is centred on the head's mean translation and counted in FLAME's own size; the
key ``headcast`` of every JSON says how to get back to metres.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from headcast.capture.camera import Camera
from headcast.capture.rig_files import AXES
from headcast.capture.vhap import CANONICAL, DIVISION, IMAGE, MASK, MOTION, PARAMS, TRANSFORMS, WORLD
from headcast.formats.manifest import npz, png
from headcast.heads.flame_track import FlameTrack

TEETH = 120
"""Vertices that the other side appends to FLAME's; the offset has rows for them."""
OPEN_JAW = (0.3, 0.0, 0.0)
PER_FRAME = ("translation", "rotation", "neck_pose", "jaw_pose", "eyes_pose", "expr")


def view_files(image: UInt8[np.ndarray, "H W 3"], alpha: UInt8[np.ndarray, "H W"], frame: int, camera: int) -> dict[str, bytes]:
    """Picture on white and matte of a view, by path below the sequence's folder."""
    share = alpha[..., None].astype(np.float32) / 255
    on_white = np.rint(share * image + (1 - share) * 255).astype(np.uint8)
    return {IMAGE.format(frame=frame, camera=camera): png(on_white), MASK.format(frame=frame, camera=camera): png(alpha)}


def track_files(track: FlameTrack, origin: Float[np.ndarray, "3"]) -> dict[str, bytes]:
    """The parameters of every timestep, of all together, and of the canonical head, which has its mouth open.

    ``origin`` is taken off translations.
    """
    shared = {"shape": track.shape, "static_offset": np.pad(track.static_offset, ((0, TEETH), (0, 0)))[None]}
    moving = {name: getattr(track, name) for name in PER_FRAME} | {"translation": track.translation - origin}
    files = {MOTION: _npz(shared | moving)}
    for frame in range(len(track.expr)):
        files[PARAMS.format(frame=frame)] = _npz(shared | {name: rows[frame : frame + 1] for name, rows in moving.items()})
    rest = {name: np.zeros_like(rows[:1]) for name, rows in moving.items()}
    return files | {CANONICAL: _npz(shared | rest | {"jaw_pose": np.array([OPEN_JAW])})}


def _npz(arrays: Mapping[str, Float[np.ndarray, "..."]]) -> bytes:
    return npz(**{name: np.asarray(array, np.float32) for name, array in arrays.items()})


def view_entry(
    camera: Camera, frame: int, raw_frame: int, index: int, unit_m: float, origin: Float[np.ndarray, "3"]
) -> dict[str, Any]:
    """What the JSON says of a view; ``origin`` in units of the exported world."""
    pose = camera.camera_to_world @ AXES["opengl"]
    pose[:3, 3] = pose[:3, 3] / unit_m - origin
    return {
        "timestep_index": frame,
        "timestep_index_original": frame,
        "timestep_id": f"{raw_frame:05d}",
        "camera_index": index,
        "camera_id": camera.serial,
        **_intrinsics(camera),
        "transform_matrix": pose.tolist(),
        "file_path": IMAGE.format(frame=frame, camera=index),
        "fg_mask_path": MASK.format(frame=frame, camera=index),
        "flame_param_path": PARAMS.format(frame=frame),
    }


def _intrinsics(camera: Camera) -> dict[str, float | int]:
    focal_x, focal_y = float(camera.K[0, 0]), float(camera.K[1, 1])
    return {
        "cx": float(camera.K[0, 2]),
        "cy": float(camera.K[1, 2]),
        "fl_x": focal_x,
        "fl_y": focal_y,
        "h": camera.height,
        "w": camera.width,
        "camera_angle_x": 2 * math.atan(camera.width / (2 * focal_x)),
        "camera_angle_y": 2 * math.atan(camera.height / (2 * focal_y)),
    }


def transforms(
    views: Sequence[Mapping[str, Any]],
    last_camera: Camera,
    held_cameras: set[int],
    held_frames: set[int],
    unit_m: float,
    origin: Float[np.ndarray, "3"],
) -> dict[str, bytes]:
    """The JSON of all views and of its divisions: ``train``; ``val``, held-out cameras at trained timesteps; ``test``, the rest.

    Intrinsics of one camera stand at the top for readers that know no others.
    """
    divisions = {
        "train": [v for v in views if v["timestep_index"] not in held_frames and v["camera_index"] not in held_cameras],
        "val": [v for v in views if v["timestep_index"] not in held_frames and v["camera_index"] in held_cameras],
        "test": [v for v in views if v["timestep_index"] in held_frames],
    }
    world = {"unit_m": unit_m, "origin_m": (unit_m * origin).tolist()}
    named = {TRANSFORMS: list(views)} | {DIVISION.format(division=name): chosen for name, chosen in divisions.items()}
    return {name: _json(chosen, last_camera, world) for name, chosen in named.items()}


def _json(views: Sequence[Mapping[str, Any]], camera: Camera, world: Mapping[str, Any]) -> bytes:
    content = {
        "frames": list(views),
        **_intrinsics(camera),
        "timestep_indices": sorted({int(view["timestep_index"]) for view in views}),
        "camera_indices": sorted({int(view["camera_index"]) for view in views}),
        WORLD: dict(world),
    }
    return (json.dumps(content, indent=4) + "\n").encode()
