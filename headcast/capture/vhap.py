"""A capture tracked by VHAP (Qian 2024) and exported for GaussianAvatars (Qian et al., CVPR 2024): names, keys, conventions.

``{root}/{subject}/sequences/{sequence}/transforms.json`` (or ``transforms_{train,val,test}.json`` together) lists the views:
``timestep_index``, ``camera_index``, ``camera_id``, ``file_path``, ``fg_mask_path``, ``flame_param_path``, intrinsics ``fl_x``,
``fl_y``, ``cx``, ``cy``, ``w``, ``h`` (px) and ``transform_matrix``: camera-to-world, OpenGL axes (y up, z backward).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from headcast.capture.arrays import read_arrays
from headcast.capture.calibration import described_by
from headcast.capture.camera import Camera
from headcast.capture.pictures import pixels, read_picture
from headcast.capture.rig_files import AXES
from headcast.errors import AssetMissing, BadFile, CaptureError

TRANSFORMS = "transforms.json"
DIVISIONS = ("train", "val", "test")
DIVISION = "transforms_{division}.json"
IMAGE, MASK, PARAMS = "images/{frame:05d}_{camera:02d}.png", "fg_masks/{frame:05d}_{camera:02d}.png", "flame_param/{frame:05d}.npz"
CANONICAL, MOTION = "canonical_flame_param.npz", "flame_param.npz"
PATHS = ("file_path", "fg_mask_path", "flame_param_path")
INTRINSICS = ("fl_x", "fl_y", "cx", "cy", "w", "h")
WORLD = "headcast"
"""Key of ours: ``unit_m`` (metres that a unit of the world is) and ``origin_m``; a folder without it is in metres."""
AGAIN = "export the sequence from VHAP again"
SAME_POSE, SINGULAR = 1e-4, 1e-6


@dataclass(frozen=True)
class Tracked:
    """A tracked sequence: ``views`` by (timestep, camera), the timesteps and cameras in order, the world's unit and origin (m)."""

    folder: Path
    views: Mapping[tuple[int, str], Mapping[str, Any]]
    frames: Sequence[int]
    serials: Sequence[str]
    unit_m: float
    origin_m: Float[np.ndarray, "3"]

    def image(self, frame: int, serial: str) -> Path:
        """The picture of a view; see ``picture``."""
        return self._path(self.views[frame, serial], "file_path")

    def mask(self, frame: int, serial: str) -> Path:
        """The matte of a view, 255 = subject."""
        return self._path(self.views[frame, serial], "fg_mask_path")

    def camera(self, serial: str) -> Camera:
        """The camera in our world (m), OpenCV axes; one that moves between timesteps is a ``CaptureError``."""
        first = self._camera(self.frames[0], serial)
        for frame in self.frames[1:]:
            other = self._camera(frame, serial)
            if not np.allclose(other.world_to_camera, first.world_to_camera, atol=SAME_POSE) or not np.allclose(other.K, first.K):
                raise CaptureError(
                    self.folder / TRANSFORMS, f"camera {serial} moves at timestep {frame}", "the rig must stand still"
                )
        return first

    def _camera(self, frame: int, serial: str) -> Camera:
        entry, where = self.views[frame, serial], f"of timestep {frame}, camera {serial}"
        try:
            focal_x, focal_y, x, y, width, height = (float(entry[key]) for key in INTRINSICS)
            pose = np.array(entry["transform_matrix"], np.float64)
        except (TypeError, ValueError) as error:
            raise BadFile(self.folder / TRANSFORMS, f"the camera {where} holds what is no number ({error})", AGAIN) from error
        if pose.shape != (4, 4) or not np.isfinite(pose).all() or abs(np.linalg.det(pose)) < SINGULAR:
            raise BadFile(self.folder / TRANSFORMS, f"transform_matrix {where} is no 4×4 pose", AGAIN)
        pose[:3, 3] = self.unit_m * pose[:3, 3] + self.origin_m
        K = np.array([[focal_x, 0.0, x], [0.0, focal_y, y], [0.0, 0.0, 1.0]])
        with described_by(self.folder / TRANSFORMS):
            return Camera(serial, K, np.linalg.inv(pose @ AXES["opengl"]), int(width), int(height))

    def flame(self, frame: int) -> dict[str, Float[np.ndarray, "..."]]:
        """The arrays of a timestep's parameter file."""
        path = self._path(self.views[frame, self.serials[0]], "flame_param_path")
        arrays = read_arrays(path, "a file of FLAME parameters", AGAIN)
        try:
            return {name: np.asarray(values, np.float64) for name, values in arrays.items()}
        except ValueError as error:
            raise BadFile(path, f"holds what is no number ({error})", AGAIN) from error

    def files(self) -> list[Path]:
        """Every file that the views name; the first missing one is a ``CaptureError``."""
        named = sorted({self._path(entry, key) for entry in self.views.values() for key in PATHS})
        missing = next((path for path in named if not path.is_file()), None)
        if missing is not None:
            raise CaptureError(missing, "is missing from the tracked sequence", AGAIN)
        return named

    def _path(self, entry: Mapping[str, Any], key: str) -> Path:
        path = self.folder / str(entry[key])
        if self.folder.resolve() not in path.resolve().parents:
            raise BadFile(self.folder / TRANSFORMS, f"{key} leaves the capture's folder ({entry[key]!r})", "copy the files there")
        return path


def picture(path: Path, camera: Camera, mode: str) -> UInt8[np.ndarray, "H W *c"]:
    """A picture (``RGB``) or matte (``L``) of a camera, which must have its size."""
    found = read_picture(path, mode, AGAIN)
    if found.shape[:2] != (camera.height, camera.width):
        told = pixels((camera.width, camera.height))
        raise CaptureError(path, f"is {pixels(found.shape[1::-1])}, {TRANSFORMS} says {told}", AGAIN)
    return found


def read(root: Path, subject: str, sequence: str, cameras: list[str] | None = None) -> Tracked:
    """Open a tracked sequence; every timestep must have every camera, and every file must be there."""
    folder = root / subject / "sequences" / sequence
    whole = folder / TRANSFORMS
    parts = (
        [whole] if whole.exists() else [path for name in DIVISIONS if (path := folder / DIVISION.format(division=name)).exists()]
    )
    if not parts:
        raise AssetMissing(whole, "the tracked sequence is not there", "place VHAP's export there, or correct data_root")
    contents = [_parsed(path) for path in parts]
    views = {_key(path, view): view for path, content in zip(parts, contents, strict=True) for view in _views(path, content)}
    frames, found = sorted({frame for frame, _ in views}), sorted({serial for _, serial in views})
    serials = found if cameras is None else sorted(cameras)
    lacking = next(((f, s) for f in frames for s in serials if (f, s) not in views), None)
    if lacking is not None or not views:
        what = f"has no view of timestep {lacking[0]} from camera {lacking[1]}" if lacking else "lists no view"
        raise CaptureError(parts[0], what, f"cameras there: {', '.join(found)}" if lacking else AGAIN)
    unit, origin = _world(parts[0], contents[0])
    kept = {key: view for key, view in views.items() if key[1] in serials}
    tracked = Tracked(folder, kept, frames, serials, unit, origin)
    tracked.files()
    return tracked


def _parsed(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadFile(path, f"is not JSON ({error})", AGAIN) from error
    if not isinstance(content, dict) or not isinstance(content.get("frames"), list):
        raise BadFile(path, "has no list of frames", AGAIN)
    return content


def _world(path: Path, content: Mapping[str, Any]) -> tuple[float, Float[np.ndarray, "3"]]:
    """Metres that a unit of the world is, and where its origin is (m)."""
    try:
        given = dict(content.get(WORLD) or {})
        unit, origin = float(given.get("unit_m", 1)), np.array(given.get("origin_m", [0, 0, 0]), np.float64)
    except (TypeError, ValueError) as error:
        raise BadFile(path, f"{WORLD} holds what is no number ({error})", AGAIN) from error
    if origin.shape != (3,) or not np.isfinite(origin).all() or not 0 < unit < np.inf:
        raise BadFile(path, f"{WORLD} holds no positive unit_m and no origin_m of three numbers", AGAIN)
    return unit, origin


def _views(path: Path, content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The entries of the views, with what is said once for all of them."""
    shared = {key: content[key] for key in INTRINSICS if key in content}
    if not all(isinstance(view, dict) for view in content["frames"]):
        raise BadFile(path, "a view is no object", AGAIN)
    views = [{**shared, **view} for view in content["frames"]]
    for view in views:
        lacks = [key for key in (*INTRINSICS, *PATHS, "transform_matrix", "timestep_index", "camera_index") if key not in view]
        if lacks:
            raise BadFile(path, f"a view has no {lacks[0]}", AGAIN)
    return views


def _key(path: Path, view: Mapping[str, Any]) -> tuple[int, str]:
    serial = str(view.get("camera_id", view["camera_index"]))
    if not serial.replace("-", "").replace("_", "").isalnum():
        raise BadFile(path, f"camera_id {serial!r} is no name", "letters, digits, - and _ will do")
    try:
        return int(view["timestep_index"]), serial
    except (TypeError, ValueError) as error:
        raise BadFile(path, f"timestep_index {view['timestep_index']!r} is no number", AGAIN) from error
