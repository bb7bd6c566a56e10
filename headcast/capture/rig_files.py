"""Calibrations as other tools leave them, turned into ours at the door: OpenCV axes, world-to-camera, metres, centres at +0.5.

`cameras.json` is the door: it holds the cameras or says in which file they are (``from``), and what that file cannot say:
``unit`` (m, cm, mm or metres a unit), ``axes`` (opencv, opengl), ``direction`` (world_to_camera, camera_to_world),
``pixel_centers`` (0.5 as here and in COLMAP, 0 as in OpenCV's calibration), ``fps`` of picture folders.
"""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from headcast.capture.arrays import read_arrays
from headcast.capture.calibration import described_by
from headcast.capture.camera import LENS_COEFFICIENTS, Camera
from headcast.errors import AssetMissing, BadFile, CaptureError

UNITS = {"m": 1.0, "cm": 1e-2, "mm": 1e-3}
AXES = {"opencv": np.eye(4), "opengl": np.diag([1.0, -1.0, -1.0, 1.0])}
DIRECTIONS = ("world_to_camera", "camera_to_world")
KEYS = {"unit", "axes", "direction", "pixel_centers", "fps", "cameras", "from"}
CAMERA_KEYS = {"K", "matrix", "width", "height", "distortion"}
SAME_POSE = 1e-6
# COLMAP's models by name: how many of the parameters are focal lengths, and which of OpenCV's k1 k2 p1 p2 follow the centre.
COLMAP_MODELS = {"SIMPLE_PINHOLE": (1, 0), "PINHOLE": (2, 0), "SIMPLE_RADIAL": (1, 1), "RADIAL": (1, 2), "OPENCV": (2, 4)}


@dataclass(frozen=True)
class RigCamera:
    """A camera as its file has it, before conventions are converted."""

    K: Float[np.ndarray, "3 3"]
    matrix: Float[np.ndarray, "4 4"]
    width: int
    height: int
    distortion: Float[np.ndarray, "k"] = field(default_factory=lambda: np.zeros(4))


@dataclass(frozen=True)
class Rig:
    """Calibrated cameras by name (sorted), their lenses, the rate of picture folders, and the files that said so."""

    cameras: Mapping[str, Camera]
    distortion: Mapping[str, Float[np.ndarray, "k"]]
    fps: float | None
    files: tuple[Path, ...]


def read_rig(folder: Path) -> Rig:
    """Read ``cameras.json`` and what it points to; every mistake names file and key."""
    path = folder / "cameras.json"
    if not path.is_file():
        raise AssetMissing(path, "the calibration of the rig is not there", "write it as docs/captures.md describes")
    content = _object(path)
    _known(path, content, KEYS)
    raw, direction, files = _raw_cameras(path, content)
    convert = _Conversion(path, content, direction)
    _check_names(path, raw)
    with described_by(path):
        cameras = {name: convert(name, raw[name]) for name in sorted(raw)}
    fps = content.get("fps")
    if fps is not None and not (isinstance(fps, int | float) and 0 < fps < 10_000):
        raise BadFile(path, f"fps must be a positive number (got {fps!r})")
    return Rig(cameras, {name: raw[name].distortion for name in cameras}, fps, (path, *files))


def _check_names(path: Path, raw: Mapping[str, RigCamera]) -> None:
    """Names of cameras are parts of file names."""
    odd = next((name for name in raw if not re.fullmatch(r"[^\W_][\w .+-]*", name)), None)
    if odd is not None:
        raise BadFile(path, f"{odd!r} is no name of a camera", "letters, digits, spaces and . + - _ will do")


class _Conversion:
    """From a file's conventions to ours."""

    def __init__(self, path: Path, content: Mapping[str, Any], direction: str) -> None:
        self._path = path
        self._axes = AXES[_choice(path, content, "axes", "opencv", tuple(AXES))]
        self._direction = _choice(path, content, "direction", direction, DIRECTIONS)
        self._unit = _metres(path, content.get("unit", "m"))
        self._shift = 0.5 - float(_choice(path, content, "pixel_centers", 0.5, (0, 0.5)))

    def __call__(self, name: str, raw: RigCamera) -> Camera:
        """One camera in our conventions."""
        to_camera = np.array(raw.matrix) if self._direction == "world_to_camera" else _inverse(self._path, name, raw.matrix)
        to_camera = self._axes @ to_camera
        to_camera[:3, 3] *= self._unit
        K = np.array(raw.K)
        K[:2, 2] += self._shift
        return Camera(name, K, to_camera, raw.width, raw.height)


def _raw_cameras(path: Path, content: Mapping[str, Any]) -> tuple[dict[str, RigCamera], str, tuple[Path, ...]]:
    """The cameras, the direction that the source stores, and the files read."""
    if ("cameras" in content) == ("from" in content):
        raise BadFile(path, "must have either cameras or from", "list the cameras, or name an npz, Metashape xml or COLMAP folder")
    if "cameras" in content:
        entries = content["cameras"]
        if not isinstance(entries, dict) or not entries:
            raise BadFile(path, "cameras must be an object of cameras by name")
        return {name: _json_camera(path, name, entry) for name, entry in entries.items()}, "world_to_camera", ()
    source = path.parent / str(content["from"])
    if path.parent.resolve() not in source.resolve().parents:
        raise BadFile(path, f"from leaves the capture's folder ({content['from']!r})")
    if not source.exists():
        raise AssetMissing(source, "is named by cameras.json but is not there", "copy the calibration there")
    if source.is_dir():
        return read_colmap(source), "world_to_camera", (source / "cameras.txt", source / "images.txt")
    readers = {".npz": (read_npz, "world_to_camera"), ".xml": (read_metashape, "camera_to_world")}
    if source.suffix not in readers:
        raise BadFile(source, "is no known calibration", f"known: {', '.join(readers)} and folders of COLMAP")
    reader, direction = readers[source.suffix]
    return reader(source), direction, (source,)


def _json_camera(path: Path, name: str, entry: Any) -> RigCamera:
    if not isinstance(entry, dict):
        raise BadFile(path, f"camera {name} must be an object")
    _known(path, entry, CAMERA_KEYS, f"cameras.{name}.")
    return _camera(path, name, entry)


def _camera(path: Path, name: str, entry: Mapping[str, Any]) -> RigCamera:
    """A camera from K, matrix, width, height and distortion."""
    try:
        K, matrix = (np.asarray(entry[key], np.float64) for key in ("K", "matrix"))
        full = np.eye(4)
        full[: len(matrix)] = matrix
        bent = np.asarray(entry.get("distortion", np.zeros(4)), np.float64).ravel()
        camera = RigCamera(K.reshape(3, 3), full, int(entry["width"]), int(entry["height"]), bent)
    except KeyError as error:
        raise BadFile(path, f"camera {name} has no {error.args[0]}", f"a camera has {', '.join(sorted(CAMERA_KEYS))}") from error
    except (ValueError, TypeError) as error:
        raise BadFile(path, f"camera {name}: not numbers of the right shape ({error})") from error
    if len(bent) not in LENS_COEFFICIENTS or not np.isfinite(bent).all():
        allowed = " or ".join(map(str, LENS_COEFFICIENTS))
        raise BadFile(
            path, f"camera {name}: distortion has {len(bent)} coefficients", f"give {allowed} finite ones: k1, k2, p1, p2 …"
        )
    return camera


def read_npz(path: Path) -> dict[str, RigCamera]:
    """``names`` C, ``K`` C 3 3, ``matrix`` C 4 4, ``size`` C 2 (width, height), optionally ``distortion`` C k."""
    arrays = read_arrays(path, "a readable npz", "save arrays without objects")
    missing = {"names", "K", "matrix", "size"} - set(arrays)
    if missing:
        raise BadFile(path, f"has no array {sorted(missing)[0]}", "it must hold names, K, matrix and size")
    counts = {len(array) for array in arrays.values() if array.ndim}
    if len(counts) != 1 or any(array.ndim == 0 for array in arrays.values()):
        raise BadFile(path, "the arrays differ in length", "one entry a camera in each")
    if arrays["size"].shape[1:] != (2,):
        raise BadFile(path, f"size has shape {arrays['size'].shape}", "it holds width and height of every camera")
    cameras = {}
    for k, name in enumerate(str(name) for name in arrays["names"]):
        entry = {"K": arrays["K"][k], "matrix": arrays["matrix"][k], "width": arrays["size"][k][0], "height": arrays["size"][k][1]}
        cameras[name] = _camera(path, name, entry | ({"distortion": arrays["distortion"][k]} if "distortion" in arrays else {}))
    return cameras


def read_colmap(folder: Path) -> dict[str, RigCamera]:
    """COLMAP's text model; a camera is named by the first part of its images' names (``cam3/0001.png`` or ``cam3.png``)."""
    lenses: dict[str, tuple[np.ndarray, np.ndarray, int, int]] = {}
    for line in filter(str.strip, _lines(folder / "cameras.txt")):
        try:
            number, model, width, height, *given = line.split()
            parameters, size = [float(value) for value in given], (int(width), int(height))
        except ValueError as error:
            raise BadFile(folder / "cameras.txt", f"is not COLMAP's ({line[:60]!r})", "export the model as text") from error
        lenses[number] = (*_colmap_lens(folder / "cameras.txt", model, parameters), *size)
    cameras: dict[str, RigCamera] = {}
    for line in _lines(folder / "images.txt")[::2]:
        try:
            _, *pose, number, image = line.split(maxsplit=9)
            matrix = _colmap_pose([float(value) for value in pose])
            K, bent, wide, high = lenses[number]
        except (ValueError, KeyError) as error:
            raise BadFile(folder / "images.txt", f"is not COLMAP's ({line[:60]!r})", "export the model as text") from error
        name = Path(image.split("/")[0]).stem
        if name in cameras and np.abs(cameras[name].matrix - matrix).max() > SAME_POSE:
            raise CaptureError(folder / "images.txt", f"camera {name} moves", "the rig must stand still: keep one image a camera")
        cameras[name] = RigCamera(K, matrix, wide, high, bent)
    return cameras


def _colmap_lens(path: Path, model: str, parameters: list[float]) -> tuple[np.ndarray, np.ndarray]:
    if model not in COLMAP_MODELS or len(parameters) != sum(COLMAP_MODELS[model]) + 2:
        raise BadFile(path, f"the camera model {model} is not known", f"use one of {', '.join(COLMAP_MODELS)}")
    focals, bent = COLMAP_MODELS[model]
    fx, fy = parameters[0], parameters[focals - 1]
    cx, cy = parameters[focals : focals + 2]
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]]), np.array([*parameters[focals + 2 :], *[0.0] * (4 - bent)])


def _colmap_pose(pose: list[float]) -> np.ndarray:
    """World-to-camera from a quaternion (w first) and a translation."""
    w, x, y, z = np.array(pose[:4]) / np.linalg.norm(pose[:4])
    matrix = np.eye(4)
    matrix[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    matrix[:3, 3] = pose[4:7]
    return matrix


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        raise AssetMissing(path, "COLMAP's text model is not there", "export it as text (model_converter --output_type TXT)")
    text = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return [line for line in text if not line.startswith("#")]


def read_metashape(path: Path) -> dict[str, RigCamera]:
    """Metashape's exported cameras (camera-to-world, the chunk's scale applied); disabled and unaligned cameras are left out."""
    try:
        root = ElementTree.parse(path).getroot()
    except (ElementTree.ParseError, OSError) as error:
        raise BadFile(path, f"is not XML ({error})", "export the cameras from Metashape again") from error
    sensors = {sensor.get("id"): sensor for sensor in root.iter("sensor")}
    chunk = _numbers(path, root.find("./chunk/transform/scale"), 1)
    cameras = {}
    for camera in root.iter("camera"):
        transform = camera.find("transform")
        if transform is None or camera.get("enabled") in ("false", "0"):
            continue
        name = Path(camera.get("label", "")).stem
        sensor = sensors.get(camera.get("sensor_id"))
        if sensor is None:
            raise BadFile(path, f"camera {name} has no sensor", "export the cameras from Metashape again")
        matrix = np.array(_numbers(path, transform, 16)).reshape(4, 4)
        matrix[:3, 3] *= chunk[0] if chunk else 1.0
        cameras[name] = _metashape_lens(path, name, sensor, matrix)
    return cameras


def _metashape_lens(path: Path, name: str, sensor: ElementTree.Element, matrix: np.ndarray) -> RigCamera:
    """Brown's model in Metashape's order: its p1 and p2 are OpenCV's p2 and p1, its centre is an offset from the middle."""
    resolution, calibration = sensor.find("resolution"), sensor.find("calibration")
    if resolution is None or calibration is None:
        raise BadFile(path, f"camera {name} is not calibrated", "export the cameras with their calibration")
    try:
        given = {child.tag: float(child.text or "nan") for child in calibration if child.tag != "resolution"}
        width, height = (int(resolution.get(side, 0)) for side in ("width", "height"))
    except ValueError as error:
        raise BadFile(path, f"camera {name}: not a number ({error})", "export the cameras from Metashape again") from error
    if "f" not in given or {"k4", "p3", "p4"} & {key for key, value in given.items() if value}:
        raise BadFile(
            path, f"camera {name} has a lens model other than f cx cy b1 b2 k1 k2 k3 p1 p2", "calibrate with Brown's model"
        )
    value = dict.fromkeys(("cx", "cy", "b1", "b2", "k1", "k2", "k3", "p1", "p2"), 0.0) | given
    K = np.array(
        [[value["f"] + value["b1"], value["b2"], width / 2 + value["cx"]], [0, value["f"], height / 2 + value["cy"]], [0, 0, 1]]
    )
    return RigCamera(K, matrix, width, height, np.array([value[key] for key in ("k1", "k2", "p2", "p1", "k3")]))


def _numbers(path: Path, element: ElementTree.Element | None, count: int) -> list[float]:
    if element is None:
        return []
    try:
        numbers = [float(value) for value in (element.text or "").split()]
    except ValueError as error:
        raise BadFile(path, f"<{element.tag}> does not hold numbers") from error
    if len(numbers) != count:
        raise BadFile(path, f"<{element.tag}> holds {len(numbers)} numbers, {count} expected")
    return numbers


def _metres(path: Path, unit: Any) -> float:
    """Metres of one unit, by name or as a number."""
    metres = UNITS.get(unit) if isinstance(unit, str) else unit
    if isinstance(metres, bool) or not isinstance(metres, int | float) or not metres > 0:
        raise BadFile(path, f"unit is {unit!r}", f"allowed: {', '.join(UNITS)} or the metres that one unit is")
    return float(metres)


def _inverse(path: Path, name: str, matrix: np.ndarray) -> np.ndarray:
    try:
        return np.linalg.inv(matrix)
    except np.linalg.LinAlgError as error:
        raise BadFile(path, f"the matrix of camera {name} has no inverse") from error


def _choice(path: Path, content: Mapping[str, Any], key: str, default: Any, allowed: tuple[Any, ...]) -> Any:
    value = content.get(key, default)
    if value not in allowed:
        raise BadFile(path, f"{key} is {value!r}", f"allowed: {', '.join(map(str, allowed))}")
    return value


def _known(path: Path, content: Mapping[str, Any], allowed: set[str], prefix: str = "") -> None:
    unknown = sorted(set(content) - allowed)
    if unknown:
        raise BadFile(path, f"{prefix}{unknown[0]} is not known", f"allowed: {', '.join(sorted(allowed))}")


def _object(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadFile(path, f"is not JSON ({error})") from error
    if not isinstance(content, dict):
        raise BadFile(path, "must be a JSON object")
    return content
