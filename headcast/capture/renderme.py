"""RenderMe-360 (Pan et al., NeurIPS 2023): ``.smc`` files, which are HDF5.

``{root}/{subject}/{subject}_{sequence}_anno.smc`` and/or ``…_raw.smc``: ``Calibration/{camera}/{K,D,RT}`` (RT camera-to-world,
OpenCV axes, metres; D OpenCV's coefficients), ``Camera/{camera}/color/{frame}`` and ``Camera/{camera}/mask/{frame}``: encoded
pictures of 2448×2048. It has masks and no plates: use it with ``matting.backend: capture``.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, UInt8

from headcast.capture.calibration import described_by
from headcast.capture.camera import Camera
from headcast.capture.capture import Capture
from headcast.capture.pictures import decode
from headcast.capture.raw import renderme_files
from headcast.errors import AssetMissing, BadFile, CaptureError

if TYPE_CHECKING:
    from headcast.capture.video import VideoFrame

FPS = 30.0
ACCESS = "request RenderMe-360 at its project page and place the .smc files there"
AGAIN = "download it again"
MATRICES = {"K": (3, 3), "RT": (4, 4)}


@dataclass(frozen=True)
class SmcFilm:
    """The frames of one camera and ``kind`` (color, mask) in an ``.smc`` file."""

    path: Path
    camera: str
    kind: str

    @property
    def files(self) -> list[Path]:
        """The file."""
        return [self.path]

    def frames(self) -> Iterator[VideoFrame]:
        """Decoded pictures in order of their numbers; a missing number is a ``CaptureError``."""
        from headcast.capture.video import VideoFrame

        with open_smc(self.path) as smc:
            for number in range(self._count(smc)):
                yield VideoFrame(number, number / FPS, self._picture(smc, number))

    def size(self) -> tuple[int, int]:
        """Width and height (px) of the first picture."""
        with open_smc(self.path) as smc:
            height, width = self._picture(smc, 0).shape[:2]
        return width, height

    def _picture(self, smc: Any, number: int) -> UInt8[np.ndarray, "H W 3"]:
        encoded = np.asarray(smc["Camera"][self.camera][self.kind][str(number)][()], np.uint8)
        wrong = f"camera {self.camera}: {self.kind} of frame {number} is not a readable picture"
        return decode(io.BytesIO(encoded.tobytes()), self.path, wrong, todo=AGAIN)

    def check(self) -> None:
        """Every frame that the file promises must be in it."""
        with open_smc(self.path) as smc:
            self._count(smc)

    def _count(self, smc: Any) -> int:
        promised, held = int(smc["Camera"].attrs["num_frame"]), set(smc["Camera"][self.camera][self.kind])
        missing = [number for number in range(promised) if str(number) not in held]
        if missing or not promised:
            raise CaptureError(self.path, f"camera {self.camera} lacks {self.kind} of frame {missing[0] if missing else 0}", AGAIN)
        return promised


def read(root: Path, subject: str, sequence: str, cameras: list[str] | None = None) -> Capture:
    """Open the files of a sequence; calibration, colours and masks may lie in either."""
    found = renderme_files(root, subject, sequence)
    if not found:
        raise AssetMissing(root / subject / f"{subject}_{sequence}_anno.smc", f"{subject}/{sequence} is not there", ACCESS)
    calibration = _holder(found, "Calibration")
    with open_smc(calibration) as smc:
        known = sorted(smc["Calibration"])
        serials = sorted(cameras) if cameras is not None else known
        unknown = [serial for serial in serials if serial not in known]
        if unknown:
            raise CaptureError(calibration, f"camera {unknown[0]} is not calibrated", f"it has {known[0]} … {known[-1]}")
        raw = {serial: _matrices(calibration, smc, serial) for serial in serials}
    films = {serial: SmcFilm(_holder(found, f"Camera/{serial}/color"), serial, "color") for serial in serials}
    masks = {serial: SmcFilm(_holder(found, f"Camera/{serial}/mask"), serial, "mask") for serial in serials}
    with described_by(calibration):
        built = {serial: _camera(serial, *raw[serial][:2], *films[serial].size()) for serial in serials}
    return Capture(subject, sequence, built, films, {}, {}, (calibration,), masks, {serial: raw[serial][2] for serial in serials})


@contextmanager
def open_smc(path: Path) -> Iterator[Any]:
    """The HDF5 file, open for reading; ``AssetMissing`` without h5py, ``BadFile`` when it is no HDF5 or lacks what is read."""
    try:
        import h5py
    except ImportError as error:
        raise AssetMissing(
            "h5py", "the package that reads .smc files is not installed", "pip install 'headcast[renderme]'"
        ) from error
    try:
        with h5py.File(path, "r") as smc:
            yield smc
    except (OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise BadFile(path, f"is not a RenderMe-360 file ({' '.join(str(error).split())[:120]})", AGAIN) from error


def _holder(found: list[Path], group: str) -> Path:
    """The file that has ``group``."""
    for path in found:
        with open_smc(path) as smc:
            if group in smc:
                return path
    raise CaptureError(found[0], f"has no {group}, and neither has another file of the sequence", "download anno and raw")


def _matrices(path: Path, smc: Any, serial: str) -> tuple[np.ndarray, np.ndarray, Float[np.ndarray, "k"]]:
    group = smc["Calibration"][serial]
    arrays = {name: np.asarray(group[name][()], np.float64) for name in (*MATRICES, "D")}
    for name, shape in MATRICES.items():
        if arrays[name].shape != shape or not np.isfinite(arrays[name]).all():
            raise BadFile(path, f"camera {serial}: {name} must be a finite {shape[0]}×{shape[1]} matrix", AGAIN)
    return arrays["K"], arrays["RT"], arrays["D"].ravel()


def _camera(serial: str, K: np.ndarray, camera_to_world: np.ndarray, width: int, height: int) -> Camera:
    """Ours from theirs: inverted, and OpenCV's pixel centres moved from 0 to 0.5."""
    shifted = K.copy()
    shifted[:2, 2] += 0.5
    rotation = camera_to_world[:3, :3].T
    world_to_camera = np.eye(4)
    world_to_camera[:3, :3], world_to_camera[:3, 3] = rotation, -rotation @ camera_to_world[:3, 3]
    return Camera(serial, shifted, world_to_camera, width, height)
