"""The workflow on the embedded subject at its smallest: what to ask for and with which settings."""

from __future__ import annotations

import json
from pathlib import Path

from .test_plan import ROOT

FOLDER = "results/demo/HAIR"
AVATAR = f"{FOLDER}/avatar.pth"
TARGETS = [AVATAR, f"{FOLDER}/evaluation/metrics.json", f"{FOLDER}/scores.json", f"{FOLDER}/reenactment/reenactment.mp4"]
FEW = ["222200036", "222200037", "222200040", "222200042", "222200048"]
CAMERAS = ["222200036", "222200037", "222200040", "222200042", "222200045", "222200046", "222200047", "222200048"]


def options(data_root: Path, **overrides: str) -> list[str]:
    """Tiny size, half the cameras, the demo's raw capture at ``data_root``."""
    subject = f"subjects={{demo: {{data_root: {data_root}, extra_sequences: {{HAIR: [EXP-1-head]}}}}}}"
    extraction = overrides.pop("extraction", f"{{cameras: {json.dumps(CAMERAS)}, max_frames: 4}}")
    return ["--config", subject, "preset=tiny", f"extraction={extraction}", *(f"{k}={v}" for k, v in overrides.items()), "--"]


def smallest(**overrides: str) -> list[str]:
    """The embedded subject alone with few cameras and frames: runs that are disturbed, and the one they are compared with."""
    given = {
        "subjects": f"{{demo: {{data_root: {ROOT / 'assets/demo'}, extra_sequences: {{HAIR: []}}}}}}",
        "preset": "tiny",
        "extraction": f"{{cameras: {json.dumps(FEW)}, max_frames: 2}}",
        "orientation_maps": "{angles: 16}",
        **overrides,
    }
    return ["--config", *(f"{key}={value}" for key, value in given.items()), "--"]
