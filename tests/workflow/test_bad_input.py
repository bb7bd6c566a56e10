"""Damage to a raw capture, seen from the command line: one clear line, a non-zero exit, nothing written but the log."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.capture import broken_raw as raw
from tests.capture.test_nersemble import capture_template

from .test_plan import snakemake

__all__ = ["capture_template"]
IMAGES = "results/001/HAIR/images/manifest.json"


def truncated(root: Path) -> None:
    video = root / "001/sequences/HAIR/images/cam_222200037.mp4"
    video.write_bytes(video.read_bytes()[:-800])


@pytest.mark.parametrize(
    ("damage", "names"),
    [
        (lambda root: raw.film(root).unlink(), "cam_222200037.mp4"),
        (truncated, "cam_222200037.mp4"),
        (lambda root: raw.edit(raw.params(root), partial(raw.of_all, np.linalg.inv)), "camera-to-world"),
        (lambda root: raw.plate(root).unlink(), "BACKGROUND/image_222200037.jpg"),
    ],
)
def test_damage_is_named_and_nothing_is_left_behind(
    damage: Callable[[Path], None], names: str, capture_template: Path, tmp_path: Path
) -> None:
    root = Path(shutil.copytree(capture_template, tmp_path / "data"))
    damage(root)
    done = snakemake("--config", f"data_root={root}", "preset=tiny", "--", IMAGES, folder=tmp_path)
    said = {line for line in done.stderr.splitlines() if line.startswith("headcast: ") and names in line}
    assert done.returncode != 0
    assert len(said) == 1, done.stderr
    written = {path.relative_to(tmp_path / "results").as_posix() for path in (tmp_path / "results").rglob("*") if path.is_file()}
    assert written <= {"001/HAIR/logs/download.log", "001/HAIR/logs/.download.lock", "failures.json"}


def test_what_was_there_before_stays(capture_template: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(capture_template, tmp_path / "data"))
    arguments = ("--config", f"data_root={root}", "preset=tiny", "--", IMAGES)
    assert snakemake(*arguments, folder=tmp_path).returncode == 0
    before = {path: path.read_bytes() for path in (tmp_path / "results/001/HAIR/images").rglob("*.png")}
    truncated(root)
    assert snakemake(*arguments, folder=tmp_path).returncode != 0
    assert before
    assert {path: path.read_bytes() for path in (tmp_path / "results/001/HAIR/images").rglob("*.png")} == before
