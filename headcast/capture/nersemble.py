"""The raw layout of a NeRSemble download (Kirschstein et al., SIGGRAPH 2023), as ``nersemble-data`` delivers it."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from headcast.capture.calibration import described_by
from headcast.capture.camera import Camera
from headcast.capture.capture import Capture
from headcast.capture.film import VideoFilm
from headcast.capture.pictures import picture_size, pixels
from headcast.capture.raw import ACCESS, NOT_FILMED, OFFERED
from headcast.errors import AssetMissing, BadFile, CaptureError


def read(root: Path, subject: str, sequence: str, cameras: list[str] | None = None) -> Capture:
    """Open ``{root}/{subject}`` and pair calibration, videos and plates; every contradiction names its file."""
    folder = root / subject
    check_metadata(root, subject, sequence)
    video_folder = folder / "sequences" / sequence / "images"
    if not video_folder.is_dir():
        raise AssetMissing(video_folder, f"the raw capture of {subject}/{sequence} is not there", ACCESS)
    calibration = folder / "calibration" / "camera_params.json"
    params = _json(calibration)
    matrices = {str(serial): matrix for serial, matrix in _matrices(params, calibration).items()}
    serials = sorted(matrices if cameras is None else cameras)
    videos = {serial: video_folder / f"cam_{serial}.mp4" for serial in serials}
    plates = {serial: folder / "sequences" / "BACKGROUND" / f"image_{serial}.jpg" for serial in serials}
    for serial in serials:
        if serial not in matrices:
            raise CaptureError(
                calibration, f"camera {serial} is not calibrated", "remove it from extraction.cameras or complete the file"
            )
        _require(videos[serial], f"camera {serial} has no video", "download it or list the cameras to use under extraction.cameras")
        _require(plates[serial], f"camera {serial} has no background plate", "download the BACKGROUND sequence of this participant")
    intrinsics = _entry(params, "intrinsics", calibration)
    sizes = _sizes(plates)
    built = {s: _camera(s, matrices[s], intrinsics, sizes[s], calibration) for s in serials}
    color_file = folder / "calibration" / "color_calibration.json"
    color = _color(color_file, serials) if color_file.exists() else {}
    used = (calibration, color_file) if color else (calibration,)
    films = {serial: VideoFilm(path) for serial, path in videos.items()}
    return Capture(subject, sequence, built, films, plates, color, used)


def check_metadata(root: Path, subject: str, sequence: str) -> None:
    """Where the tables of the data set lie beside the participants, they must know this participant and sequence.

    A subject with a name of its own may be absent from them.
    """
    participants, sequences = (root / f"metadata_{kind}.csv" for kind in ("participants", "sequences"))
    if participants.is_file():
        _row(participants, subject)
    row = _row(sequences, subject) if sequences.is_file() else {}
    filmed = [name for name, mark in row.items() if mark in OFFERED and name not in NOT_FILMED]
    if row and sequence not in filmed:
        raise CaptureError(sequences, f"participant {subject} has no sequence {sequence}", f"it has {', '.join(filmed) or 'none'}")


def _row(path: Path, subject: str) -> dict[str, str]:
    """The participant's row, empty for a name that is not listed; identifiers are numbers without leading zeros, or names."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadFile(path, f"is not a table ({error})", "download it again") from error
    if not rows or "ID" not in rows[0]:
        raise BadFile(path, "has no column ID", "download it again")
    found = next((row for row in rows if str(row["ID"]).zfill(3) == subject), {})
    if not found and subject.isdigit():
        listed = f"it lists {len(rows)}, from {rows[0]['ID']} to {rows[-1]['ID']}"
        raise CaptureError(path, f"does not know participant {subject}", listed)
    return found


def _sizes(plates: Mapping[str, Path]) -> dict[str, tuple[int, int]]:
    """Width and height of the raw frames, which nothing but the plates says; all cameras of the rig have one."""
    sizes = {serial: picture_size(path) for serial, path in plates.items()}
    usual = Counter(sizes.values()).most_common(1)[0][0]
    odd = next((serial for serial, size in sizes.items() if size != usual), None)
    if odd is not None:
        raise CaptureError(plates[odd], f"is {pixels(sizes[odd])}, other plates are {pixels(usual)}", "download BACKGROUND again")
    return sizes


def _camera(serial: str, matrix: Any, intrinsics: Any, size: tuple[int, int], source: Path) -> Camera:
    if isinstance(intrinsics, dict) and serial not in intrinsics:
        raise BadFile(source, f"camera {serial} has no intrinsics", "complete the file, or write one matrix for all cameras")
    K = intrinsics[serial] if isinstance(intrinsics, dict) else intrinsics
    extrinsics = np.eye(4)
    try:
        given = np.asarray(matrix, dtype=np.float64)
        extrinsics[: given.shape[0]] = given
        K = np.asarray(K, dtype=np.float64)
    except (ValueError, TypeError, IndexError, KeyError) as error:
        raise BadFile(source, f"camera {serial}: not a matrix of numbers") from error
    if K.shape != (3, 3):
        raise BadFile(source, f"camera {serial}: intrinsics are a 3×3 matrix, not {K.shape}")
    width, height = size
    if not (0.2 * width < K[0, 2] < 0.8 * width and 0.2 * height < K[1, 2] < 0.8 * height):
        raise CaptureError(
            source,
            f"camera {serial}: the principal point {K[:2, 2].round().tolist()} is far from the middle of {pixels(size)}",
            "scale the intrinsics to the size of the films",
        )
    with described_by(source):
        return Camera(serial, K, extrinsics, width, height)


def _color(path: Path, serials: list[str]) -> dict[str, np.ndarray]:
    entries = _json(path)
    missing = [serial for serial in serials if serial not in entries]
    if missing:
        raise BadFile(
            path, f"camera {missing[0]} has no colour correction", "complete the file or set extraction.color_calibration: false"
        )
    matrices = {}
    for serial in serials:
        try:
            matrices[serial] = np.asarray(entries[serial], dtype=np.float64)
        except (ValueError, TypeError) as error:
            raise BadFile(path, f"camera {serial}: not a matrix of numbers", "download it again") from error
        if matrices[serial].ndim != 2 or len(matrices[serial]) != 3 or not np.isfinite(matrices[serial]).all():
            raise BadFile(path, f"camera {serial}: a colour correction is a finite 3×k matrix", "download it again")
    return matrices


def _json(path: Path) -> dict[str, Any]:
    _require(path, "the calibration is not there", ACCESS)
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BadFile(path, f"is not JSON ({error})", "download it again") from error
    if not isinstance(value, dict):
        raise BadFile(path, "must be a JSON object")
    return value


def _matrices(params: dict[str, Any], path: Path) -> dict[str, Any]:
    matrices = _entry(params, "world_2_cam", path)
    if not isinstance(matrices, dict) or not matrices:
        raise BadFile(path, "world_2_cam must be an object of matrices by serial", "download it again")
    return matrices


def _entry(params: dict[str, Any], key: str, path: Path) -> Any:
    if key not in params:
        raise BadFile(path, f"has no entry {key!r}", "it must hold world_2_cam and intrinsics")
    return params[key]


def _require(path: Path, wrong: str, todo: str) -> None:
    if not path.is_file():
        raise CaptureError(path, wrong, todo)
