"""What a run is said to take is what it takes, within a factor of two: disk for every stage and the whole, memory for the views."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from headcast.config import HeldOut, load_config, read_config
from headcast.formats.intermediates import size_on_disk
from headcast.stages.training_views import Sources, gather, memory_of_views
from headcast.workflow.disk import Volume, written

from .test_plan import ROOT
from .tiny import CAMERAS, FOLDER

pytestmark = pytest.mark.workflow
PRODUCTS = {
    "extract_frames": ["images", "cameras", "background"],
    "matting": ["mattes"],
    "landmarks": ["landmarks"],
    "fit_head": ["params", "FLAME_params"],
    "hair_masks": ["masks"],
    "orientation_maps": ["orientation_maps"],
    "train_mesh_head": ["mesh_head.pth"],
    "grow_hair": ["hair_strands"],
    "train_avatar": ["avatar.pth"],
    "head_model": ["../../models/open.npz"],
}


def test_the_estimate_holds_for_every_stage_and_for_the_whole(finished: Path) -> None:
    tiny = load_config({"preset": "tiny", "presets": read_config(ROOT / "workflow_config.yaml").presets}, gpu=False)
    volume = Volume(4, len(CAMERAS), 128)
    real = {rule: sum(size_on_disk(finished / FOLDER / name) for name in names) for rule, names in PRODUCTS.items()}
    said = {rule: written(rule, volume, tiny) for rule in PRODUCTS}
    for rule, amount in real.items():
        assert amount / 2 < said[rule] < amount * 2, (rule, amount, said[rule])
    assert sum(real.values()) / 2 < sum(said.values()) < 2 * sum(real.values())


def test_views_take_the_memory_that_is_asked_for(finished: Path) -> None:
    names = {"masks": "masks", "params": "params", "landmarks": "landmarks", "orientation": "orientation_maps"}
    names |= {name: name for name in ("images", "cameras", "background", "mattes")}
    sequences = [finished / FOLDER, finished / FOLDER / "../EXP-1-head"]
    sources = Sources(**{key: [folder / name / "manifest.json" for folder in sequences] for key, name in names.items()})
    tracemalloc.start()
    try:
        views = gather(sources, HeldOut(), 256, "training")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < memory_of_views(len(views), 256) < 2 * peak
