"""demo_capture: make the embedded demo subject from nothing but the CC0 head: geometry, pictures, ground truth, capture folder.

Every step keeps what it has finished in ``work``, so the same command goes on after an interruption.
"""

from __future__ import annotations

import logging
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from headcast.demo import truth_cache
from headcast.demo.assemble import Sources, assemble
from headcast.demo.capture import write_bundle
from headcast.demo.truth_cache import TruthCache
from headcast.errors import OutOfResources
from headcast.formats.atomic import write_json
from headcast.process.command import Progress

logger = logging.getLogger(__name__)
RENDERER = Path(__file__).resolve().parents[2] / "scripts" / "demo_render.py"


@dataclass(frozen=True)
class Inputs:
    """Where intermediate files go, how to render, and the file that is written last; the capture lies beside it.

    ``device`` raster shades the exact z-buffer, as the shipped capture was made; cpu, cuda and optix path-trace with Blender's
    Cycles, ``samples`` a pixel.
    """

    work: Path
    output: Path
    device: str = "raster"
    samples: int = 64
    workers: int = 1


def run(inputs: Inputs, progress: Progress) -> Path:
    """Geometry → pictures → ground truth → capture in NeRSemble's raw layout."""
    bundle, pictures, cache = inputs.work / "geometry", inputs.work / "pictures", TruthCache(inputs.work / "truth")
    if not (bundle / "complete").exists():
        write_bundle(bundle)
        (bundle / "complete").touch()
    render(inputs, bundle, pictures)
    truth_cache.fill(bundle, cache, inputs.workers, lambda done, total: progress(done, total, "ground truth"))
    folder = inputs.output.parent
    assemble(Sources(bundle, pictures, cache), folder, lambda done, total: progress(done, total, "videos"))
    sizes = {path.relative_to(folder).as_posix(): path.stat().st_size for path in sorted(folder.rglob("*")) if path.is_file()}
    sizes.pop(inputs.output.name, None)
    return write_json(inputs.output, {"files": sizes, "bytes": sum(sizes.values())})


def render(inputs: Inputs, bundle: Path, pictures: Path) -> None:
    """Run the renderer in processes of its own; it skips the pictures that are there."""
    options = ["--device", inputs.device, "--samples", str(inputs.samples), "--jobs", str(inputs.workers)]
    command = [sys.executable, str(RENDERER), str(bundle), str(pictures), *options]
    logger.info("rendering: %s", " ".join(command))
    done = subprocess.run(command, check=False)
    if done.returncode != 0:
        raise OutOfResources("demo render", f"ended with code {done.returncode}", "run the same command again to go on")
