"""Every path under ``results/`` and ``assets/``, and the lock of a run: the only place where they are spelled.

Patterns carry the wildcards ``{subject}`` and ``{sequence}``; a stage's product is named by its manifest, which is written last.
"""

from __future__ import annotations

import re
from pathlib import Path

RESULTS = "results"
SEQUENCE = "results/{subject}/{sequence}"
RUNNING = ".snakemake/headcast.lock"
"""Held (flock) by every Snakemake that works in this folder, beside the locks that Snakemake leaves behind when it is killed."""


def product(folder: str) -> str:
    """Manifest of a product folder of a sequence."""
    return f"{SEQUENCE}/{folder}/manifest.json"


download = product("download")
images = product("images")
cameras = product("cameras")
background = product("background")
mattes = product("mattes")
landmarks = product("landmarks")
head_model = "results/models/{model}.npz"
flame_asset = "assets/FLAME/{file}"
bfm_asset = "assets/BFM/BFM09_model_info.mat"
ict_asset = "assets/ICT-FaceKit/{file}"
driver_params = product("params")
surface_params = product("FLAME_params")
hair_masks = product("masks")
orientation_maps = product("orientation_maps")
doctor = f"{SEQUENCE}/doctor.json"
doctor_page = f"{SEQUENCE}/doctor.html"
contact_sheets = product("contact_sheets")
fit_frames = f"{SEQUENCE}/fit/frames.json"
fit_overlay = f"{SEQUENCE}/fit/overlay.jpg"
fit_residuals = f"{SEQUENCE}/fit/residuals.png"
fit_parameters = f"{SEQUENCE}/fit/parameters.png"
fit_turntable = f"{SEQUENCE}/fit/turntable.mp4"
mesh_head = f"{SEQUENCE}/mesh_head.pth"
hair_strands = product("hair_strands")
avatar = f"{SEQUENCE}/avatar.pth"
evaluation = f"{SEQUENCE}/evaluation/metrics.json"
evaluation_frames = f"{SEQUENCE}/evaluation/frames.csv"
evaluation_picture = f"{SEQUENCE}/evaluation/comparison.png"
scores = f"{SEQUENCE}/scores.json"
scored_strands = f"{SEQUENCE}/scores/strands.jpg"
export_gha = product("export_gha")
export_vhap = product("vhap")
export_strands = product("strands")
swapped = SEQUENCE + "/swap/{other}/avatar.pth"
reenactment = f"{SEQUENCE}/reenactment/reenactment.mp4"
summary_table = "results/summary.csv"
summary_page = "results/summary.html"
failures = "results/failures.json"


def under(results: Path, pattern: str, subject: str = "", sequence: str = "") -> Path:
    """A pattern of this module filled in, below another results folder than the working directory's."""
    return results / pattern.format(subject=subject, sequence=sequence).removeprefix(f"{RESULTS}/")


def place(path: str) -> tuple[str, str] | None:
    """Subject and sequence that a file of a sequence's subfolder belongs to; None for what several share."""
    found = re.search(rf"(?:^|/){RESULTS}/([^/]+)/([^/]+)/[^/]+/", path)
    return (found[1], found[2]) if found else None


INTERMEDIATE = ("images", "background", "mattes", "masks", "orientation_maps", "mesh_head.pth", "state")
"""What a finished avatar and its films no longer need, by its name in the folder of a sequence; all of it can be made again."""


def log(stage: str) -> str:
    """Log file of a stage."""
    return f"{SEQUENCE}/logs/{stage}.log"


def benchmark(stage: str) -> str:
    """Snakemake's timing and memory table of a stage."""
    return f"{SEQUENCE}/benchmarks/{stage}.tsv"


def tensorboard(stage: str) -> str:
    """Folder of a trainer's scalars and pictures, outside every rule's output."""
    return f"{SEQUENCE}/tensorboard/{stage}"


def state(stage: str) -> str:
    """Folder of a trainer's resumable state, outside every rule's output."""
    return f"{SEQUENCE}/state/{stage}"
