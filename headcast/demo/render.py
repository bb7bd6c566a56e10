"""Renders the bundle, resumably, with several processes; what is already there is not rendered again.

Output: ``{out}/plate_{serial}.webp`` and ``{out}/{sequence}_{frame:04d}_{serial}.webp`` (lossless RGBA, straight alpha, sRGB).
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tarfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from headcast.demo.bundle import Geometry, open_bundle
from headcast.errors import OutOfResources

if TYPE_CHECKING:
    import numpy as np

logger = logging.getLogger(__name__)
PLATE = "plate"
PART_BYTES = 15_000_000


@dataclass(frozen=True)
class Settings:
    """``device`` cpu, cuda or optix (Cycles) or raster (`headcast.demo.shade`, no Blender); ``samples`` a pixel (Cycles).

    ``seconds``: after these no new picture is begun (0: no limit).
    """

    bundle: Path
    out: Path
    device: str = "cpu"
    samples: int = 8
    plate_samples: int = 64
    threads: int = 1
    seconds: float = 0.0
    only: tuple[str, ...] = ()
    cameras: tuple[str, ...] = ()


def picture_names(geometry: Geometry, settings: Settings) -> list[tuple[str, int, str]]:
    """(sequence, frame, serial) of all pictures wanted, plates first (frame -1)."""
    serials = [s for s in geometry.cameras if not settings.cameras or s in settings.cameras]
    wanted = [(PLATE, -1, serial) for serial in serials]
    wanted += [(sequence, frame, s) for sequence, count in geometry.frames.items() for frame in range(count) for s in serials]
    chosen = [item for item in wanted if not settings.only or _label(item) in settings.only or item[0] in settings.only]
    return chosen


def _label(item: tuple[str, int, str]) -> str:
    return f"{item[0]}:{item[1]}"


def picture_path(out: Path, item: tuple[str, int, str]) -> Path:
    """Where a picture lies."""
    sequence, frame, serial = item
    return out / (f"{PLATE}_{serial}.webp" if sequence == PLATE else f"{sequence}_{frame:04d}_{serial}.webp")


def render_share(settings: Settings, share: int, shares: int) -> int:
    """Render every ``shares``-th group of pictures of one pose that is missing; returns how many were made."""
    began = time.monotonic()
    geometry = open_bundle(settings.bundle)
    wanted = picture_names(geometry, settings)
    poses = sorted({item[:2] for item in wanted}, key=lambda pose: (pose[1], pose[0]))[share::shares]
    scene: Renderer | None = None
    made = 0
    for pose in poses:
        missing = [item for item in wanted if item[:2] == pose and not picture_path(settings.out, item).exists()]
        if not missing:
            continue
        scene = scene or _renderer(geometry, settings)
        scene.refine(settings.plate_samples if pose[0] == PLATE else settings.samples)
        if pose[0] != PLATE:
            scene.pose(geometry.frame(*pose))
        scene.show(subject=pose[0] != PLATE)
        for item in missing:
            if settings.seconds and time.monotonic() - began > settings.seconds:
                return made
            _render_one(scene, settings.out, item)
            made += 1
    return made


class Renderer(Protocol):
    """What renders: the Blender scene, or the shader of the exact z-buffer."""

    def refine(self, samples: int) -> None:
        """Samples a pixel from now on."""

    def pose(self, frame: dict[str, np.ndarray]) -> None:
        """Move the subject to a frame."""

    def show(self, subject: bool) -> None:
        """Either the subject on a transparent film, or the empty studio."""

    def look(self, serial: str, path: str, seed: int) -> None:
        """Write the view of a camera to ``path``."""


def _renderer(geometry: Geometry, settings: Settings) -> Renderer:
    if settings.device == "raster":
        from headcast.demo.shade import Shader

        return Shader(geometry)
    from headcast.demo.scene import Scene

    return Scene(geometry, settings.device, settings.samples, settings.threads)


def _render_one(scene: Renderer, out: Path, item: tuple[str, int, str]) -> None:
    path = picture_path(out, item)
    temporary = path.with_name(f".{os.getpid()}_{path.name}")
    began = time.monotonic()
    seed = 1 + sum(ord(c) * (k + 7) for k, c in enumerate(path.name))
    scene.look(item[2], str(temporary), seed)
    temporary.replace(path)
    logger.info("%s in %.2f s", path.name, time.monotonic() - began)


def render_all(script: Path, arguments: list[str], jobs: int) -> None:
    """Run ``script`` ``jobs`` times, each on its share; raises ``OutOfResources`` when one of them fails."""
    commands = [[sys.executable, str(script), *arguments, "--share", f"{k}/{jobs}"] for k in range(jobs)]
    processes = [subprocess.Popen(command) for command in commands]
    failed = [process.args for process in processes if process.wait() != 0]
    if failed:
        raise OutOfResources("demo render", f"{len(failed)} of {jobs} processes ended early", "run the same command again to go on")


def pack(out: Path, destination: Path, only: tuple[str, ...] = ()) -> list[Path]:
    """Pack the finished pictures (of the sequences ``only``) into uncompressed tar files of at most 15 MB each."""
    destination.mkdir(parents=True, exist_ok=True)
    parts: list[list[Path]] = [[]]
    size = 0
    prefixes = tuple(name.partition(":")[0] for name in only) or ("",)
    for path in sorted(p for p in out.glob("[!.]*.webp") if p.name.startswith(prefixes)):
        size += path.stat().st_size + 1024
        if size > PART_BYTES and parts[-1]:
            parts.append([])
            size = path.stat().st_size
        parts[-1].append(path)
    archives = []
    for k, members in enumerate(parts):
        archives.append(destination / f"pictures_{prefixes[0]}_{k:02d}.tar")
        with tarfile.open(archives[-1], "w") as archive:
            for path in members:
                archive.add(path, arcname=path.name)
    return archives
