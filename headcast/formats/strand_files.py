"""Strands that a user brings: npz, .hair (Cem Yuksel), .data (USC-HairSalon), Alembic and USD curves, read as plain points.

Every reader raises ``BadFile`` in one line; what a header promises is compared with the file before memory is asked for. Units and
axes stay those of the file, but for USD, which says its own.

``.npz``   ``points`` S P 3, or ``points`` N 3 with ``counts`` S.
``.hair``  a header of 128 bytes (`HEADER`), then as its bits say: segments of each strand (uint16), points (float32 3), and arrays
           that are not needed here. http://www.cemyuksel.com/research/hairmodels
``.data``  int32 strands; for each int32 points, float32 3 each. A strand of one point says that nothing grows there.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from headcast.assets import READS, is_web_page
from headcast.avatar.groom import Curves
from headcast.errors import AssetMissing, BadFile, ConfigError
from headcast.heads.asset_files import read_npz

OBTAIN = "obtain or write the file anew"
MAX_BYTES = 1 << 30
MOST_STRANDS = 2_000_000
HEADER = struct.Struct("<4sIIII f f 3f 88s")
"""Signature, strands, points, which arrays follow, segments of every strand unless they follow, and defaults of those arrays."""
SEGMENTS_FOLLOW, POINTS_FOLLOW = 1, 2
SCENES = dict.fromkeys(READS, "headcast.formats.strand_scenes")


def read_strands(path: Path) -> Curves:
    """The strands of two points or more of a file, root first; its ending says what it is."""
    readers: dict[str, Callable[[Path], Curves]] = {".npz": _read_arrays, ".hair": _read_hair, ".data": _read_data}
    kind = path.suffix.lower()
    if kind not in readers and kind not in SCENES:
        raise ConfigError("hair.file", f"{path} ends in none of {', '.join([*readers, *SCENES])}")
    size = _size(path)
    if size > MAX_BYTES:
        raise BadFile(path, f"has {size} bytes, more than a file of strands may have", "thin it out")
    curves = readers[kind](path) if kind in readers else import_module(SCENES[kind]).read_curves(path)
    return checked(path, *curves)


def _size(path: Path) -> int:
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            start = stream.read(200)
    except FileNotFoundError as error:
        raise AssetMissing(path, "the strands of hair.file are not there", "place them there or change hair.file") from error
    except OSError as error:
        raise BadFile(path, f"cannot be read ({error.strerror})", OBTAIN) from error
    if not size or is_web_page(start):
        raise BadFile(path, "is a web page" if size else "is empty", OBTAIN)
    return size


def checked(path: Path, points: Float[np.ndarray, "N 3"], counts: Int[np.ndarray, "S"]) -> Curves:
    """The curves that have two points at least; ``BadFile`` where there is none or a number is none."""
    points, counts = np.asarray(points), np.asarray(counts)
    if (
        points.ndim != 2
        or points.shape[1] != 3
        or counts.ndim != 1
        or points.dtype.kind not in "fiu"
        or counts.dtype.kind not in "iu"
    ):
        raise BadFile(path, f"holds points of shape {points.shape} in strands of shape {counts.shape}", OBTAIN)
    outside = len(counts) > MOST_STRANDS or (counts < 0).any() or (counts > len(points)).any()
    if outside or int(counts.sum(dtype=np.int64)) != len(points):
        raise BadFile(path, f"holds {len(points)} points, which do not make up its {len(counts)} strands", OBTAIN)
    usable = counts >= 2
    points = points[np.repeat(usable, counts)].astype(np.float64)
    if not usable.any():
        raise BadFile(path, "holds no strand of two points", OBTAIN)
    if not np.isfinite(points).all():
        raise BadFile(path, "holds coordinates that are not finite", OBTAIN)
    return Curves(points, counts[usable].astype(np.int64))


def _read_arrays(path: Path) -> Curves:
    points = read_npz(path, ["points"])["points"]
    if points.ndim == 3:
        return Curves(points.reshape(-1, points.shape[2]), np.full(points.shape[0], points.shape[1]))
    return Curves(points, read_npz(path, ["counts"])["counts"])


def _read_hair(path: Path) -> Curves:
    data = path.read_bytes()
    if len(data) < HEADER.size or data[:4] != b"HAIR":
        raise BadFile(path, "does not begin with the header of a .hair file", OBTAIN)
    _, strands, points, arrays, segments, *_ = HEADER.unpack_from(data)
    listed = 2 * strands if arrays & SEGMENTS_FOLLOW else 0
    if not arrays & POINTS_FOLLOW or HEADER.size + listed + 12 * points > len(data):
        raise BadFile(path, f"is cut: its header says {strands} strands and {points} points", OBTAIN)
    if strands > points:
        raise BadFile(path, f"says {strands} strands of {points} points", OBTAIN)
    if listed:
        counts = np.frombuffer(data, "<u2", strands, HEADER.size).astype(np.int64) + 1
    else:
        counts = np.full(strands, segments + 1, np.int64)
    return Curves(np.frombuffer(data, "<f4", 3 * points, HEADER.size + listed).reshape(-1, 3), counts)


def _read_data(path: Path) -> Curves:
    data = path.read_bytes()
    strands = int.from_bytes(data[:4], "little", signed=True)
    if len(data) < 4 or not 0 <= strands <= (len(data) - 4) // 4:
        raise BadFile(path, f"is cut: it says {strands} strands in {len(data)} bytes", OBTAIN)
    counts, parts, place = np.zeros(strands, np.int64), [], 4
    for strand in range(strands):
        count = int.from_bytes(data[place : place + 4], "little", signed=True)
        if place + 4 > len(data) or not 0 <= count <= (len(data) - place - 4) // 12:
            raise BadFile(path, f"is cut or damaged at strand {strand} of {strands}", OBTAIN)
        parts.append(np.frombuffer(data, "<f4", 3 * count, place + 4))
        counts[strand], place = count, place + 4 + 12 * count
    if place != len(data):
        raise BadFile(path, f"holds {len(data) - place} bytes after its {strands} strands", OBTAIN)
    return Curves(np.concatenate([np.zeros(0, np.float32), *parts]).reshape(-1, 3), counts)
