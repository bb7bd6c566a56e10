"""A sequence as it is preprocessed for Gaussian Head Avatar (Xu et al., CVPR 2024) and its strand-hair fork: names, sizes, units.

``{root}/{subject}/sequences/{sequence}/…``; intrinsics are pixels of a picture of 2048². What is read is listed in ``VIEW_FILES``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from headcast.capture.arrays import read_arrays
from headcast.capture.calibration import described_by
from headcast.capture.camera import Camera
from headcast.capture.pictures import pixels, read_picture
from headcast.errors import AssetMissing, BadFile, CaptureError

SIDE, LOWRES_SIDE, HAIR_SIDE = 2048, 256, 1024
LANDMARKS_3D = [number for number in range(68) if number not in (48, 54)]
AGAIN = "preprocess the sequence again, or remove the frame"
PLATE = "background/image_{serial}.jpg"
LANDMARKS = "landmarks/{frame}/lmk_{serial}.npy"
VIEW_FILES = {
    "image": "images/{frame}/image_{serial}.jpg",
    "visible": "images/{frame}/visible_{serial}.jpg",
    "matte": "images/{frame}/mask_{serial}.jpg",
    "camera": "cameras/{frame}/camera_{serial}.npz",
    "body": "NeuralHaircut_masks/body/{frame}/image_{serial}.jpg",
    "hair": "NeuralHaircut_masks/hair/{frame}/image_{serial}.jpg",
    "head": "NeuralHaircut_masks/head/{frame}/image_{serial}.jpg",
    "orientation": "orientation_maps/{frame}/image_{serial}.png",
    "confidence": "orientation_confidence_maps/{frame}/image_{serial}.png",
}


@dataclass(frozen=True)
class Preprocessed:
    """A preprocessed sequence: its folder, the names of its frames in order, its cameras' serials, sorted."""

    folder: Path
    frames: Sequence[str]
    serials: Sequence[str]

    def grey(self, kind: str, frame: str, serial: str) -> UInt8[np.ndarray, "H W"]:
        """An 8-bit map of a view."""
        return _square(self.path(kind, frame, serial), "L")

    def image(self, frame: str, serial: str) -> UInt8[np.ndarray, "H W 3"]:
        """The picture of a view."""
        return _square(self.path("image", frame, serial), "RGB")

    def plate(self, serial: str) -> UInt8[np.ndarray, "H W 3"]:
        """The picture of a camera without the subject."""
        return _square(self.folder / PLATE.format(serial=serial), "RGB")

    def degrees(self, frame: str, serial: str) -> UInt8[np.ndarray, "H W"]:
        """The direction of hair in whole degrees, 0 … 179."""
        path = self.path("orientation", frame, serial)
        colors = _square(path, "RGB")
        found = colors[..., 0]
        if (colors != found[..., None]).any() or found.max() > 180:
            raise BadFile(path, "holds colours, not degrees up to 180", "place the map of degrees there, not its preview")
        return found

    def camera(self, serial: str) -> Camera:
        """The camera of 2048² pictures; a camera that moves between frames is a ``CaptureError``."""
        first = self._matrices(self.frames[0], serial)
        for frame in self.frames[1:]:
            for given, other in zip(first, self._matrices(frame, serial), strict=True):
                if np.abs(given - other).max() > 1e-4 * np.abs(given).max():
                    raise CaptureError(
                        self.path("camera", frame, serial), "differs from the first frame's", "the rig must stand still"
                    )
        extrinsics, path = np.eye(4), self.path("camera", self.frames[0], serial)
        extrinsics[:3] = first[0]
        if not (0.2 * SIDE < first[1][0, 2] < 0.8 * SIDE and 0.2 * SIDE < first[1][1, 2] < 0.8 * SIDE):
            raise CaptureError(
                path, "the principal point is far from the middle of 2048²", "scale the intrinsics to pixels of 2048²"
            )
        with described_by(path):
            return Camera(serial, first[1], extrinsics, SIDE, SIDE)

    def _matrices(self, frame: str, serial: str) -> tuple[Float[np.ndarray, "3 4"], Float[np.ndarray, "3 3"]]:
        path = self.path("camera", frame, serial)
        arrays = read_arrays(path, "a camera", AGAIN)
        lacks = [name for name in ("extrinsic", "intrinsic") if name not in arrays]
        if lacks:
            raise BadFile(path, f"is not a camera (it has no {lacks[0]})", AGAIN)
        extrinsic, intrinsic = arrays["extrinsic"], arrays["intrinsic"]
        if extrinsic.shape != (3, 4) or intrinsic.shape != (3, 3):
            raise BadFile(path, f"extrinsic is {extrinsic.shape} and intrinsic {intrinsic.shape}, not 3×4 and 3×3", AGAIN)
        return extrinsic, intrinsic

    def landmarks(self, frame: str, serial: str) -> Float[np.ndarray, "68 3"]:
        """Landmarks of a view (x and y in pixels of 2048², score); NaN where the detector left no file."""
        path = self.folder / LANDMARKS.format(frame=frame, serial=serial)
        if not path.exists():
            return np.full((68, 3), np.nan)
        try:
            points = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise BadFile(path, f"is not a readable npy ({error})", AGAIN) from error
        if points.shape != (68, 3):
            raise BadFile(path, f"has shape {points.shape}, expected (68, 3)", AGAIN)
        return np.asarray(points, np.float64)

    def path(self, kind: str, frame: str, serial: str) -> Path:
        """Where a file of a view lies."""
        return self.folder / VIEW_FILES[kind].format(frame=frame, serial=serial)


def read(root: Path, subject: str, sequence: str, cameras: list[str] | None = None) -> Preprocessed:
    """Open a preprocessed sequence; every view must be whole, else the missing file is named."""
    folder = root / subject / "sequences" / sequence
    frames = sorted(path.name for path in (folder / "images").glob("*") if path.is_dir())
    if not frames:
        raise AssetMissing(folder / "images", "the preprocessed sequence is not there", "place it there, or correct data_root")
    found = sorted(path.stem.removeprefix("image_") for path in (folder / "images" / frames[0]).glob("image_*.jpg"))
    serials = [serial for serial in found if not serial.startswith("lowres_")] if cameras is None else sorted(cameras)
    sequence_of = Preprocessed(folder, frames, serials)
    needed = [sequence_of.path(kind, frame, serial) for frame in frames for serial in serials for kind in VIEW_FILES]
    needed += [folder / PLATE.format(serial=serial) for serial in serials]
    missing = next((path for path in needed if not path.is_file()), None)
    if missing is not None:
        raise CaptureError(missing, "is missing from the preprocessed sequence", AGAIN)
    return sequence_of


def _square(path: Path, mode: str) -> UInt8[np.ndarray, "S S *c"]:
    picture = read_picture(path, mode, AGAIN)
    if picture.shape[0] != picture.shape[1]:
        raise CaptureError(path, f"is {pixels(picture.shape[1::-1])}, not square", AGAIN)
    return picture
