"""Room on the disk: a run that has none does not start; clean_intermediate makes some, and what that costs later."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from headcast.layout import INTERMEDIATE

from .planner import planned
from .test_plan import ROOT, snakemake
from .tiny import AVATAR, FOLDER, TARGETS, options

pytestmark = pytest.mark.workflow
SEQUENCES = (FOLDER, "results/demo/EXP-1-head")
KEPT = (
    "avatar.pth",
    "evaluation",
    "scores.json",
    "reenactment",
    "logs",
    "benchmarks",
    "cameras",
    "landmarks",
    "params",
    "FLAME_params",
    "hair_strands",
)


def test_a_run_without_room_does_not_start(raw: Path, tmp_path: Path) -> None:
    done = snakemake(*options(raw, disk="{reserve_gb: 100000}"), AVATAR, folder=tmp_path)
    said = [line for line in done.stderr.splitlines() if line.startswith("headcast: ")]
    assert done.returncode == 7
    assert len(said) == 1
    assert re.search(
        r"results: this run writes about \d+\.\d MB .* 100000\.0 GB are to stay free, \d+\.\d GB are free; free space", said[0]
    )
    assert not (tmp_path / "results").exists()
    assert not list((tmp_path / ".snakemake").glob("locks/*"))


def test_what_is_cleaned_is_not_missed_and_comes_back_as_it_was(copied: Path, finished: Path, raw: Path, tmp_path: Path) -> None:
    done = snakemake(*options(raw), "clean_intermediate", folder=copied)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^freed \d+\.\d MB; kept: avatars", done.stdout, re.M), done.stdout
    assert not [path for folder in SEQUENCES for name in INTERMEDIATE if (path := copied / folder / name).exists()]
    assert [name for name in KEPT if not (copied / FOLDER / name).exists()] == []

    def plan(*targets: str, **overrides: str) -> set[str]:
        return planned(["--snakefile", str(ROOT / "Snakefile"), *options(raw, **overrides), *targets], copied, tmp_path / "said")

    assert plan(*TARGETS) == set()
    assert plan(TARGETS[3], reenactment="{camera: fixed}") == {"reenact HAIR"}
    assert {"extract_frames HAIR", "train_avatar HAIR"} < plan(TARGETS[1], evaluation="{picture_frames: 1}")

    pictures = [f"{folder}/{name}/manifest.json" for folder in SEQUENCES for name in ("images", "mattes", "masks")]
    again = snakemake(*options(raw), *pictures, folder=copied)
    assert again.returncode == 0, again.stderr[-3000:]
    assert all((copied / path).read_bytes() == (finished / path).read_bytes() for path in pictures)
    assert plan(*TARGETS) == set()


def test_nothing_is_cleaned_before_an_avatar_is_evaluated(copied: Path, raw: Path) -> None:
    (copied / FOLDER / "evaluation/metrics.json").unlink()
    done = snakemake(*options(raw), "clean_intermediate", folder=copied)
    assert "nothing to remove" in done.stdout
    assert (copied / FOLDER / "images/manifest.json").exists()
