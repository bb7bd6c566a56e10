"""Ground truth of every view, computed once and kept: rasterizing a view takes seconds, so an interrupted run goes on where it was.

``{cache}/{sequence}_{frame:04d}_{serial}.npz``: ``alpha``, ``hair``, ``face`` as counts of the pixel's 64 samples (uint8, 0–64; the
first two are exact), ``tone`` (int8, 1/50), and for key frames ``angle`` (rad), ``confidence`` and ``depth`` (m) as float32.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from multiprocessing import get_context
from typing import TYPE_CHECKING

import numpy as np

from headcast.demo import truth
from headcast.demo.bundle import open_bundle
from headcast.formats.atomic import atomic_path

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from headcast.capture.camera import Camera
    from headcast.demo.raster import Ribbons, Surface, Truth

logger = logging.getLogger(__name__)
LEVELS = 64
TONE_STEPS = 50
KEY_FRAMES = (0, 4, 10)


@dataclass(frozen=True)
class TruthCache:
    """The folder of one bundle's ground truth."""

    root: Path

    def path(self, sequence: str, frame: int, serial: str) -> Path:
        """Where a view's arrays lie."""
        return self.root / f"{sequence}_{frame:04d}_{serial}.npz"

    def load(self, sequence: str, frame: int, serial: str) -> dict[str, np.ndarray]:
        """A view's arrays, computed before."""
        with np.load(self.path(sequence, frame, serial)) as archive:
            return {name: archive[name] for name in archive.files}


def fill(bundle: Path, cache: TruthCache, workers: int, progress: Callable[[int, int], None]) -> None:
    """Compute what is missing, ``workers`` processes at a time, a frame's cameras each."""
    geometry = open_bundle(bundle)
    serials = sorted(geometry.cameras)
    poses = [(sequence, frame) for sequence in sorted(geometry.frames) for frame in range(geometry.frames[sequence])]
    missing = [pose for pose in poses if not all(cache.path(*pose, serial).exists() for serial in serials)]
    done = len(poses) - len(missing)
    if workers == 1:
        for pose in missing:
            fill_pose(bundle, cache, *pose)
            done += 1
            progress(done, len(poses))
        return
    with get_context("spawn").Pool(workers) as pool:
        for _ in pool.imap_unordered(_fill, [(bundle, cache, *pose) for pose in missing]):
            done += 1
            progress(done, len(poses))


def _fill(job: tuple[Path, TruthCache, str, int]) -> None:
    fill_pose(*job)


def fill_pose(bundle: Path, cache: TruthCache, sequence: str, frame: int) -> None:
    """Compute the missing views of one frame."""
    geometry = open_bundle(bundle)
    arrays = geometry.frame(sequence, frame)
    surface, strands = truth.surface_of(geometry, arrays), truth.ribbons_of(geometry, arrays)
    for serial, camera in truth.cameras_of(geometry).items():
        if not cache.path(sequence, frame, serial).exists():
            _write_view(cache.path(sequence, frame, serial), surface, strands, camera, frame in KEY_FRAMES)
            logger.info("%s frame %d camera %s", sequence, frame, serial)


def _write_view(path: Path, surface: Surface, strands: Ribbons, camera: Camera, key: bool) -> None:
    from headcast.demo.raster import ground_truth

    view = ground_truth(surface, strands, camera)
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, **packed(view, key))


def packed(view: Truth, key: bool) -> dict[str, np.ndarray]:
    """A view's arrays as they are kept."""
    arrays = {name: np.rint(np.clip(getattr(view, name), 0, 1) * LEVELS).astype(np.uint8) for name in ("alpha", "hair", "face")}
    arrays["tone"] = np.rint(np.clip(view.tone * TONE_STEPS, -127, 127)).astype(np.int8)
    if key:
        arrays |= {name: getattr(view, name).astype(np.float32) for name in ("angle", "confidence", "depth")}
    return arrays
