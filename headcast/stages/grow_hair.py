"""grow_hair: the strands that training starts with, grown through the pictures of the first frame or taken from a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headcast.assets import digests
from headcast.avatar.growth import GrowthSettings
from headcast.config import Hair, HeldOut
from headcast.errors import ConfigError
from headcast.formats.hair_file import write_hair
from headcast.formats.mesh_head_file import read_mesh_head
from headcast.formats.strand_files import read_strands
from headcast.process.command import Progress
from headcast.stages.train_mesh_head import canonical_head
from headcast.stages.training_views import Sources, gather
from headcast.training.initial_hair import Placement, adopted_hair, grown_hair

SHARED = ("voxel", "step", "consensus", "longest", "shortest", "clearance", "seed")
"""Settings that are `GrowthSettings` of the same name."""


@dataclass(frozen=True)
class Inputs:
    """Products of the avatar's own sequence, its mesh head, the user's strands if any; the strands to write."""

    images: list[Path]
    cameras: list[Path]
    background: list[Path]
    mattes: list[Path]
    masks: list[Path]
    orientation: list[Path]
    params: list[Path]
    model: Path
    mesh_head: Path
    output: Path
    file: Path | None = None


def run(inputs: Inputs, hair: Hair, held_out: HeldOut, progress: Progress) -> Path:
    """Read the first frame, grow strands from the scalp or put those of a file there, and write them with their figures."""
    views = gather(Sources.of(inputs), held_out, hair.size, "hair", most_frames=1)
    canonical = canonical_head(inputs.params[0], inputs.model)
    if hair.initialiser == "file":
        if inputs.file is None:
            raise ConfigError("hair.initialiser", "is file, but the command names none", "pass --file")
        curves = read_strands(inputs.file)
        progress(1, 2, f"read {len(curves.counts)} strands")
        start = adopted_hair(curves, views, canonical, placement(hair))
        source: dict[str, Any] = {"file": digests([inputs.file])}
    else:
        start = grown_hair(views, canonical, growth(hair), read_mesh_head(inputs.mesh_head))
        source = {"sequence": views.sequences[0], "frame": 0}
    facts = {"initialiser": hair.initialiser, "settings": hair.model_dump(mode="json"), **source, **start.facts}
    return write_hair(inputs.output, start.groom, facts, start.surface)


def growth(hair: Hair) -> GrowthSettings:
    """The settings of the section as those of growth."""
    given = {name: getattr(hair, name) for name in SHARED}
    return GrowthSettings(strands=hair.strands, points=hair.points_per_strand, **given)


def placement(hair: Hair) -> Placement:
    """The settings of the section for strands of a file."""
    return Placement(
        strands=hair.strands,
        points=hair.points_per_strand,
        scale=hair.file_scale,
        up=hair.file_up,
        seat=hair.file_frame == "scalp",
        reach=hair.file_reach,
        shortest=hair.shortest,
        clearance=hair.clearance,
        seed=hair.seed,
    )
