"""The disk that a run will take, what is free, and one line when that does not suffice.

What a stage writes follows from how many pictures of which size there are. The rates below were measured on finished runs of the
embedded subject (128 and 512 px); ``tests/workflow/test_estimates.py`` holds them against a real run, within a factor of two.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

from headcast import layout
from headcast.capture.raw import VIDEOS, raw_files
from headcast.config import Config
from headcast.errors import BadFile, OutOfResources
from headcast.process.memory import readable

GB = 1e9


class Rule(Protocol):
    """A rule of Snakemake."""

    name: str


class Job(Protocol):
    """A job of Snakemake's plan."""

    rule: Rule
    wildcards: Mapping[str, str]


class Volume(NamedTuple):
    """How much was filmed in one sequence: frames, cameras, and the side of the working images (px)."""

    frames: int
    cameras: int
    size: int


NOTHING = Volume(0, 0, 0)


class Rate(NamedTuple):
    """Bytes that a rule writes: for each pixel and each picture of a sequence, for each frame, for each pixel of a plate."""

    pixel: float = 0.0
    picture: float = 0.0
    frame: float = 0.0
    plate: float = 0.0

    def bytes(self, volume: Volume) -> float:
        """Bytes for a sequence."""
        frames, cameras, size = volume
        pictures, area = frames * cameras, size * size
        return pictures * (self.pixel * area + self.picture) + self.frame * frames + self.plate * cameras * area


RATES: dict[str, Rate] = {
    "extract_frames": Rate(pixel=0.83, picture=7_000, plate=0.74),
    "matting": Rate(pixel=0.063, picture=1_700),
    "landmarks": Rate(picture=3_900),
    "fit_head": Rate(frame=58_500),
    "hair_masks": Rate(pixel=0.13, picture=2_500),
    "orientation_maps": Rate(pixel=0.70, picture=4_100),
    "import_gha": Rate(pixel=1.73, picture=19_200, plate=0.74),
    "import_vhap": Rate(pixel=0.9, picture=8_700, frame=58_500),
    "export_vhap": Rate(pixel=0.9, picture=8_700, frame=3_000),
    "export_gha": Rate(picture=2_200_000, plate=1.5),
}
HEAD_MODEL = 19e6
GAUSSIAN = 170.0
STRAND_POINT = 34.0
HEAD = 5.6e6
"""An avatar: bytes of a Gaussian, of a point of a strand, and of the head that both are bound to."""
ROOTED_POINT = 12.0
WRITTEN_POINT = 50.0
HAIR_SURFACE = 1.35
"""Bytes of a point of the strands that training starts with, of one in all formats for others, and of the surface that strands
were grown in, over voxels of 1 m."""
CELL = 275.0
MESH_HEAD = 7e6
"""A mesh head: bytes of a cell of its lattice (``grid`` cubed), and of the rest."""
STATE = 9.0
"""A saved training state holds what is trained and two moments of it; the last three live as long as the training does."""
SMALL = 2e6
"""Figures, tables and pictures of a report; a log; a film."""


def written(rule: str, volume: Volume, config: Config) -> float:
    """Bytes that a job of ``rule`` adds to the disk for a sequence of ``volume``."""
    if rule in RATES:
        return RATES[rule].bytes(volume)
    strand_points = config.hair.strands * config.hair.points_per_strand
    trained = GAUSSIAN * config.training.gaussians + STRAND_POINT * strand_points
    large = {
        "head_model": HEAD_MODEL,
        "train_mesh_head": MESH_HEAD + CELL * config.mesh_head.grid**3,
        "grow_hair": HAIR_SURFACE / config.hair.voxel**2 + ROOTED_POINT * strand_points,
        "export_strands": WRITTEN_POINT * strand_points,
        "swap_hair": HEAD + trained,
        "train_avatar": HEAD + (1 + STATE) * trained,
    }
    return large.get(rule, SMALL)


def check_disk(config: Config, jobs: Iterable[Job], folder: Path = Path(layout.RESULTS)) -> str:
    """Before anything runs: what the jobs will write has to fit; ``OutOfResources`` says what is missing. Returns what it found.

    Captures that are still to be downloaded, or that lie there as pictures, are not counted; their stages meet a full disk, if it
    comes to that, by themselves.
    """
    needed: dict[str, float] = {}
    known: dict[tuple[str, str], Volume | None] = {}
    for job in jobs:
        whose = job.wildcards.get("subject", ""), job.wildcards.get("sequence", "")
        if all(whose) and whose not in known:
            known[whose] = filmed(config, *whose)
        needed[job.rule.name] = needed.get(job.rule.name, 0) + written(job.rule.name, known.get(whose) or NOTHING, config)
    said = require_disk(needed, folder, config.disk.reserve_gb * GB)
    uncounted = sum(volume is None for volume in known.values())
    return said + (f"; {uncounted} sequences without films yet are not counted" if uncounted else "")


def filmed(config: Config, subject: str, sequence: str) -> Volume | None:
    """How much there is of a sequence, from its files and the container of one video; None when it is not there yet."""
    from headcast.capture.video import read_video_info  # the plan knows this module, only a run looks into a video

    extraction = config.extraction
    reader, root = config.subject(subject).reader, config.capture_root(subject)
    videos = [path for path in raw_files(reader, root, subject, sequence, extraction.cameras) if path.suffix in VIDEOS]
    try:
        frames = read_video_info(videos[0]).frames if videos else 0
    except BadFile:
        frames = 0
    kept = min(-(-frames // extraction.stride), extraction.max_frames or frames)
    return Volume(kept, len(videos), extraction.size) if kept else None


def require_disk(needed: Mapping[str, float], folder: Path, reserve: float) -> str:
    """Say what a run will write below ``folder`` (bytes by rule); ``OutOfResources`` unless that and ``reserve`` are free."""
    total, free = sum(needed.values()), free_disk(folder)
    most = sorted(needed.items(), key=lambda entry: -entry[1])[:3]
    about = f"this run writes about {readable(total)} ({', '.join(f'{rule} {readable(amount)}' for rule, amount in most)})"
    if total + reserve > free:
        raise OutOfResources(
            folder,
            f"{about}, {readable(reserve)} are to stay free, {readable(free)} are free",
            "free space, run `snakemake --cores 1 clean_intermediate`, lower extraction.size or extraction.max_frames,"
            " or set disk.reserve_gb or disk.check: false",
        )
    return f"{about}; {readable(free)} are free"


def free_disk(folder: Path) -> int:
    """Bytes that may still be written below ``folder``, which need not exist yet."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(there).free
