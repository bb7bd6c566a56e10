"""Render the demo subject's pictures from its geometry bundle (in Blender's Python, envs/blender.yaml, but for --device raster)."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from headcast.demo.render import Settings, pack, render_all, render_share


def main() -> None:
    """Parse arguments; without --share start --jobs processes, with --share render one of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--device", choices=("cpu", "cuda", "optix", "raster"), default="cpu", help="raster needs no Blender")
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--plate-samples", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--only", nargs="*", default=[], help="plate, HAIR, HAIR:3 …")
    parser.add_argument("--cameras", nargs="*", default=[])
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--share", help="k/n: internal")
    parser.add_argument("--pack", type=Path)
    a = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    a.out.mkdir(parents=True, exist_ok=True)
    if a.share:
        share, shares = (int(x) for x in a.share.split("/"))
        limits = (a.device, a.samples, a.plate_samples, a.threads, a.seconds)
        render_share(Settings(a.bundle, a.out, *limits, tuple(a.only), tuple(a.cameras)), share, shares)
        return
    passed = [x for x in sys.argv[1:] if x != "--pack" and x != str(a.pack)]
    render_all(Path(__file__), passed, a.jobs)
    if a.pack:
        pack(a.out, a.pack, tuple(a.only))


if __name__ == "__main__":
    main()
