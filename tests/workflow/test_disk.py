"""The estimate of what a run writes, and the refusal of one that does not fit."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from headcast.config import load_config
from headcast.errors import OutOfResources
from headcast.workflow import disk
from headcast.workflow.disk import Volume, check_disk, filmed, free_disk, written
from tests.capture.test_nersemble import capture_template

__all__ = ["capture_template"]


def job(rule: str, subject: str = "001", sequence: str = "HAIR") -> SimpleNamespace:
    return SimpleNamespace(rule=SimpleNamespace(name=rule), wildcards={"subject": subject, "sequence": sequence})


def settings(root: Path, **sections: object):  # type: ignore[no-untyped-def]
    return load_config({"data_root": str(root), **sections}, gpu=False)


def test_what_was_filmed_is_read_from_the_container_and_the_settings(capture_template: Path) -> None:
    whole = filmed(settings(capture_template, extraction={"size": 256}), "001", "HAIR")
    assert whole is not None
    cut = {"size": 256, "stride": 2, "max_frames": 1, "cameras": ["222200036", "222200037"]}
    assert filmed(settings(capture_template, extraction=cut), "001", "HAIR") == Volume(1, 2, 256)
    assert whole.size == 256 and whole.frames > 1 and whole.cameras > 2
    assert filmed(settings(capture_template), "001", "NOT-THERE") is None


def test_twice_the_side_is_four_times_the_maps(capture_template: Path) -> None:
    config = settings(capture_template)
    for rule in ("extract_frames", "matting", "hair_masks", "orientation_maps"):
        small, large = (written(rule, Volume(100, 16, size), config) for size in (512, 1024))
        assert 3.5 < large / small <= 4


def test_more_gaussians_and_strands_make_a_larger_avatar(capture_template: Path) -> None:
    few, many = (settings(capture_template, training={"gaussians": n}, hair={"strands": n}) for n in (1_000, 100_000))
    for rule in ("grow_hair", "train_avatar"):
        assert written(rule, disk.NOTHING, many) > 2 * written(rule, disk.NOTHING, few)


def test_a_run_that_does_not_fit_is_refused_with_the_figures(capture_template: Path, tmp_path: Path) -> None:
    config = settings(capture_template, disk={"reserve_gb": 1e9})
    with pytest.raises(
        OutOfResources, match=r"writes about .* \(extract_frames .*1000000000.0 GB are to stay free, .* are free; free"
    ):
        check_disk(config, [job("extract_frames"), job("matting")], tmp_path)


def test_a_run_that_fits_is_told_and_what_is_not_there_yet_is_not_counted(capture_template: Path, tmp_path: Path) -> None:
    said = check_disk(settings(capture_template), [job("extract_frames"), job("download", "258")], tmp_path)
    assert "this run writes about" in said
    assert "1 sequences without films yet are not counted" in said


def test_free_space_of_a_folder_that_is_yet_to_be_made(tmp_path: Path) -> None:
    assert abs(free_disk(tmp_path / "a/b/c") - shutil.disk_usage(tmp_path).free) < 1e9
