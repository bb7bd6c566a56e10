"""Ground truth of a synthetic capture, for scoring alone: masks, hair orientation, depth, geometry and strands.

Two layouts are read, view by view, whichever file is there:

``{sequence}/{alpha,hair,face,orientation,confidence,depth}/cam_{serial}/frame_{t:05d}.png``
    one plane a file: shares and confidence in 255ths, orientation in degrees, depth in 0.1 mm (uint16).
``{sequence}/{masks,hair_maps,depth}/cam_{serial}/frame_{t:05d}.webp``
    lossless RGB pictures: alpha, hair, face · orientation, confidence, 0 · high byte, low byte of depth, 0; in the units that
    ``encoding.json`` names (`Encoding`).

``{sequence}/geometry.npz`` holds named arrays, ``{sequence}/strands.npz`` either ``strands`` (F S P 3, m) or ``codes`` (F S P 3
integers) and ``step_m``: points are multiples of the step, stored as second differences along the strand and first ones over time.
What a capture does not carry is None.
"""

from __future__ import annotations

import json
import lzma
import re
import zipfile
import zlib
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8, UInt16
from PIL import Image

from headcast.errors import BadFile

AGAIN = "obtain the ground truth again"
ENCODING = "encoding.json"
DEPTH_STEP_M = 1e-4
KEPT_PICTURES = 48
# plane → folder of its packed picture and channel in it
PACKED: dict[str, tuple[str, int | slice]] = {
    "alpha": ("masks", 0),
    "hair": ("masks", 1),
    "face": ("masks", 2),
    "orientation": ("hair_maps", 0),
    "confidence": ("hair_maps", 1),
    "depth": ("depth", slice(0, 2)),
}


@dataclass(frozen=True)
class Encoding:
    """Units of the compact pictures: share = value / ``share_levels``, angle = value · ``orientation_step_deg``, confidence =
    value / ``confidence_levels``, depth = value · ``depth_step_m``.
    """

    share_levels: float
    orientation_step_deg: float
    confidence_levels: float
    depth_step_m: float


@dataclass(frozen=True)
class GroundTruth:
    """An opened ``ground_truth`` folder. Methods return None for what is not there and raise ``BadFile`` for what is damaged."""

    root: Path
    encoding: Encoding | None

    def alpha(self, sequence: str, serial: str, frame: int) -> Float[np.ndarray, "H W"] | None:
        """Coverage by the subject, in [0, 1], float32, in raw pixels."""
        return self._share("alpha", sequence, serial, frame)

    def hair(self, sequence: str, serial: str, frame: int) -> Float[np.ndarray, "H W"] | None:
        """Share of the pixel whose front-most surface is scalp hair."""
        return self._share("hair", sequence, serial, frame)

    def face(self, sequence: str, serial: str, frame: int) -> Float[np.ndarray, "H W"] | None:
        """Share of the pixel whose front-most surface is the face."""
        return self._share("face", sequence, serial, frame)

    def orientation(self, sequence: str, serial: str, frame: int) -> Float[np.ndarray, "H W"] | None:
        """Undirected hair angle (rad in [0, π), 0 = image vertical, towards horizontal), NaN without hair."""
        found, confidence = self._plane("orientation", sequence, serial, frame), self.confidence(sequence, serial, frame)
        if found is None or confidence is None:
            return None
        values, compact = found
        degrees = values * (compact.orientation_step_deg if compact else 1.0)
        return np.where(confidence > 0, np.deg2rad(degrees % 180), np.nan).astype(np.float32)

    def confidence(self, sequence: str, serial: str, frame: int) -> Float[np.ndarray, "H W"] | None:
        """How parallel the hair of the pixel is, in [0, 1]; 0 without hair."""
        found = self._plane("confidence", sequence, serial, frame)
        if found is None:
            return None
        values, compact = found
        return np.minimum(values / np.float32(compact.confidence_levels if compact else 255), 1).astype(np.float32)

    def depth(self, sequence: str, serial: str, frame: int) -> Float[np.ndarray, "H W"] | None:
        """Depth (m along the camera's axis) of the front-most surface at the pixel's centre; 0 = background."""
        found = self._plane("depth", sequence, serial, frame)
        if found is None:
            return None
        values, compact = found
        if compact is None:
            return (values * np.float32(DEPTH_STEP_M)).astype(np.float32)
        return ((256.0 * values[..., 0] + values[..., 1]) * compact.depth_step_m).astype(np.float32)

    def strands(self, sequence: str) -> Float[np.ndarray, "F S P 3"] | None:
        """Strand points (m, world), root first; a strand is the same hair in all frames."""
        path = self.root / sequence / "strands.npz"
        arrays = _archive(path)
        if arrays is None:
            return None
        strands = arrays.get("strands")
        if {"codes", "step_m"} <= arrays.keys():
            strands = arrays["codes"].astype(np.int64).cumsum(0).cumsum(2).cumsum(2) * arrays["step_m"]
        if strands is None or strands.ndim != 4 or strands.shape[-1] != 3:
            raise BadFile(path, "holds no strands of shape F S P 3", AGAIN)
        return strands.astype(np.float32)

    def geometry(self, sequence: str) -> dict[str, np.ndarray] | None:
        """``landmarks_3d`` F 68 3, ``vertices`` F V 3, ``head_rotation`` F 3 3, ``head_translation`` F 3 … (m, world)."""
        return _archive(self.root / sequence / "geometry.npz")

    def expression_names(self) -> tuple[str, ...] | None:
        """What the columns of ``expression`` in ``geometry`` are, left and right spelled as the head models spell them."""
        arrays = _archive(self.root / "head.npz")
        if arrays is None or "expression_names" not in arrays:
            return None
        names = (str(name) for name in arrays["expression_names"])
        return tuple(re.sub(r"_([LR])$", lambda side: {"L": "Left", "R": "Right"}[side[1]], name) for name in names)

    def _share(self, kind: str, sequence: str, serial: str, frame: int) -> np.ndarray | None:
        found = self._plane(kind, sequence, serial, frame)
        if found is None:
            return None
        values, compact = found
        return np.minimum(values / np.float32(compact.share_levels if compact else 255), 1).astype(np.float32)

    def _plane(self, kind: str, sequence: str, serial: str, frame: int) -> tuple[np.ndarray, Encoding | None] | None:
        """The stored integers of a plane, and their units where the layout is the compact one."""
        place = Path(f"cam_{serial}") / f"frame_{frame:05d}"
        single = (self.root / sequence / kind / place).with_suffix(".png")
        if single.is_file():
            return _plane_of(single, None), None
        group, channel = PACKED[kind]
        packed = (self.root / sequence / group / place).with_suffix(".webp")
        if not packed.is_file():
            return None
        if self.encoding is None:
            raise BadFile(self.root / ENCODING, f"is missing, so {packed.name} has no units", AGAIN)
        return _plane_of(packed, channel), self.encoding


def open_ground_truth(root: Path) -> GroundTruth | None:
    """Open a ``ground_truth`` folder, or None where there is none; ``BadFile`` when its encoding cannot be read."""
    root = Path(root)
    if not root.is_dir():
        return None
    path = root / ENCODING
    return GroundTruth(root, _read_encoding(path) if path.is_file() else None)


def _read_encoding(path: Path) -> Encoding:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        values = [float(content[field.name]) for field in fields(Encoding)]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadFile(path, f"does not name the units of the ground truth ({error})", AGAIN) from error
    if not (np.isfinite(values).all() and min(values) > 0):
        raise BadFile(path, "has units that are not positive numbers", AGAIN)
    return Encoding(*values)


def _plane_of(path: Path, channel: int | slice | None) -> UInt8[np.ndarray, "H W *c"] | UInt16[np.ndarray, "H W"]:
    """A single-plane file, or some channels of a packed one."""
    picture = _picture(path, path.stat().st_mtime_ns)
    if picture.ndim != (2 if channel is None else 3):
        raise BadFile(path, f"has {picture.ndim} dimensions", AGAIN)
    return picture if channel is None else picture[..., channel]


@lru_cache(maxsize=KEPT_PICTURES)
def _picture(path: Path, modified: int) -> np.ndarray:
    """Decode a picture; ``modified`` is part of the key so that a file written anew is read anew."""
    try:
        with Image.open(path) as image:
            picture = np.array(image)
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise BadFile(path, f"cannot be read as a picture ({error})", AGAIN) from error
    if picture.dtype == np.int32 and picture.min() >= 0 and picture.max() < 2**16:
        picture = picture.astype(np.uint16)
    if picture.dtype not in (np.uint8, np.uint16):
        raise BadFile(path, f"holds {picture.dtype} values", AGAIN)
    picture.setflags(write=False)
    return picture


def _archive(path: Path) -> dict[str, np.ndarray] | None:
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error, lzma.LZMAError) as error:
        raise BadFile(path, f"is no readable archive of arrays ({error})", AGAIN) from error
