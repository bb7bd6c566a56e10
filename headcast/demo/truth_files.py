"""The demo's ground truth as files, small enough to ship: what `headcast.formats.ground_truth` reads.

Alpha is rounded to 32nds, hair and face to eighths, orientation to 4°, confidence to sevenths, depth to 0.5 mm (in hair 8 mm),
strands to 0.5 mm; after that nothing is lost.
"""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from headcast.demo.truth_cache import KEY_FRAMES, LEVELS, TruthCache
from headcast.formats.atomic import atomic_path, write_json

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from jaxtyping import Float, UInt8

SHARE_LEVELS, COARSE = 32, 4
ORIENTATION_STEP_DEG, CONFIDENCE_LEVELS = 4, 7
DEPTH_STEP_M, HAIR_DEPTH_STEPS = 5e-4, 16
STRAND_STEP_M = 5e-4
DEPTH_FRAMES = (0,)


def write_encoding(root: Path) -> Path:
    """Name the units of the packed pictures."""
    units = {
        "share_levels": SHARE_LEVELS,
        "orientation_step_deg": ORIENTATION_STEP_DEG,
        "confidence_levels": CONFIDENCE_LEVELS,
        "depth_step_m": DEPTH_STEP_M,
    }
    return write_json(root / "encoding.json", units)


def write_view(root: Path, cache: TruthCache, sequence: str, frame: int, serial: str) -> None:
    """Masks of a view; of a key frame also orientation and, in the first frame, depth. Files that exist stay."""
    kinds: dict[str, Callable[[dict[str, np.ndarray]], np.ndarray]] = {"masks": mask_picture}
    kinds |= {"hair_maps": hair_map} if frame in KEY_FRAMES else {}
    kinds |= {"depth": depth_map} if frame in DEPTH_FRAMES else {}
    for kind, picture in kinds.items():
        path = root / sequence / kind / f"cam_{serial}" / f"frame_{frame:05d}.webp"
        if not path.exists():
            with atomic_path(path) as temporary:
                temporary.write_bytes(webp(picture(cache.load(sequence, frame, serial))))


def mask_picture(view: dict[str, np.ndarray]) -> UInt8[np.ndarray, "H W 3"]:
    """Alpha, hair and face in 32nds, the last two rounded to eighths."""
    shares = {name: view[name].astype(np.float64) / LEVELS for name in ("alpha", "hair", "face")}
    fine = np.rint(shares["alpha"] * SHARE_LEVELS)
    coarse = [np.rint(shares[name] * SHARE_LEVELS / COARSE) * COARSE for name in ("hair", "face")]
    return np.stack([fine, *coarse], axis=-1).astype(np.uint8)


def hair_map(view: dict[str, np.ndarray]) -> UInt8[np.ndarray, "H W 3"]:
    """Orientation and confidence where at least half of the pixel is hair; elsewhere, and in the third channel, zero."""
    hair = view["hair"] >= LEVELS // 2
    steps = round(180 / ORIENTATION_STEP_DEG)
    angle = np.rint(np.rad2deg(view["angle"]) / ORIENTATION_STEP_DEG) % steps
    confidence = np.maximum(np.rint(view["confidence"] * CONFIDENCE_LEVELS), 1)
    planes = [np.where(hair, angle, 0), np.where(hair, confidence, 0), np.zeros(hair.shape)]
    return np.stack(planes, axis=-1).astype(np.uint8)


def depth_map(view: dict[str, np.ndarray]) -> UInt8[np.ndarray, "H W 3"]:
    """High and low byte of the depth in 0.5 mm, rounded to 8 mm where at least half of the pixel is hair."""
    steps = np.where(view["hair"] >= LEVELS // 2, HAIR_DEPTH_STEPS, 1)
    depth = (np.rint(view["depth"] / (steps * DEPTH_STEP_M)) * steps).astype(np.int64)
    return np.stack([depth >> 8, depth & 255, np.zeros_like(depth)], axis=-1).astype(np.uint8)


def strand_codes(strands: Float[np.ndarray, "F S P 3"]) -> dict[str, Any]:
    """Strand points in steps of 0.5 mm, as differences along the strand and over time: a fifth of the size of float16."""
    lattice = np.rint(strands / STRAND_STEP_M).astype(np.int32)
    along = np.diff(np.diff(lattice, axis=2, prepend=0), axis=2, prepend=0)
    codes = np.diff(along, axis=0, prepend=0)
    return {"codes": codes.astype(np.int16), "step_m": np.float64(STRAND_STEP_M)}


def write_archive(path: Path, arrays: dict[str, Any]) -> None:
    """An npz compressed by LZMA, with fixed dates (same arrays, same bytes), written whole or not at all."""
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_LZMA) as archive:
        for name, value in arrays.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, np.asanyarray(value), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), buffer.getvalue(), zipfile.ZIP_LZMA)


def webp(pixels: UInt8[np.ndarray, "H W 3"]) -> bytes:
    """Lossless WebP of a picture."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "WEBP", lossless=True, exact=True, quality=75, method=4)
    return buffer.getvalue()
