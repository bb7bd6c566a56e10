"""Every path under ``results/`` and ``assets/``: the only place where they are spelled.

Patterns carry the wildcards ``{subject}`` and ``{sequence}``; a stage's product is named by its manifest, which is written last.
"""

from __future__ import annotations

SEQUENCE = "results/{subject}/{sequence}"


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
mesh_head = f"{SEQUENCE}/mesh_head.pth"
avatar = f"{SEQUENCE}/avatar.pth"
evaluation = f"{SEQUENCE}/evaluation/metrics.json"
evaluation_frames = f"{SEQUENCE}/evaluation/frames.csv"
evaluation_picture = f"{SEQUENCE}/evaluation/comparison.png"
scores = f"{SEQUENCE}/scores.json"
reenactment = f"{SEQUENCE}/reenactment/reenactment.mp4"


def log(stage: str) -> str:
    """Log file of a stage."""
    return f"{SEQUENCE}/logs/{stage}.log"


def benchmark(stage: str) -> str:
    """Snakemake's timing and memory table of a stage."""
    return f"{SEQUENCE}/benchmarks/{stage}.tsv"


def state(stage: str) -> str:
    """Folder of a trainer's resumable state, outside every rule's output."""
    return f"{SEQUENCE}/state/{stage}"
